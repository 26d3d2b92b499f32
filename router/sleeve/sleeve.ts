import { z } from "zod/mini";
import type { Overlay, OverlayConnection, OverlayLink } from "#mesh/overlay.js";
import { peerText } from "#mesh/peer.js";
import type { Command, DatapathEvent } from "#router/datapath/protocol.js";
import { innerMtu } from "#router/datapath/record.js";
import { FLOOR_DATAGRAM } from "#router/datapath/session.js";
import { decodePathMessage, encodePathMessage } from "#router/sleeve/control.js";
import { DataKeys, type KeyEffect, REKEY_MS, rekeyShapes } from "#router/sleeve/keys.js";
import { Path, type PathEffect } from "#router/sleeve/path.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { decode, encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";
import { endpoint, endpointText } from "#src/host/native/udp.js";
import type { Log } from "#src/log.js";
import { macNumber } from "#src/mac.js";
import type { Random } from "#src/random.js";

/** IPv4 and UDP headers. */
const HEADERS = 28;
/** Ethernet's usual MTU, for a route that we know nothing of; and the largest that we probe. */
const USUAL_MTU = 1_500;
const LARGEST_MTU = 9_216;

const openShape = z.object({
  kind: z.literal("open"),
  session: z.number().check(z.int(), z.gte(1), z.lte(0xffffffff)),
});
const shape = z.discriminatedUnion("kind", [openShape, ...rekeyShapes]);

export interface SleeveOptions {
  readonly datapath: { send(command: Command): void };
  /** MTU of our own link towards a host, in bytes; undefined when unknown. */
  readonly linkMtu: (host: string) => Promise<number | undefined>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The user-space overlay over UDP: decides what the datapath thread carries out. */
export class Sleeve implements Overlay {
  readonly name = "sleeve";
  readonly #options: SleeveOptions;
  readonly #connections = new Map<number, SleeveConnection>();

  constructor(options: SleeveOptions) {
    this.#options = options;
  }

  open(link: OverlayLink): SleeveConnection {
    let session: number;
    do session = 1 + this.#options.random.below(0xffffffff);
    while (this.#connections.has(session));
    const connection = new SleeveConnection(this.#options, link, session, () => this.#connections.delete(session));
    this.#connections.set(session, connection);
    return connection;
  }

  /** What the datapath thread says of a session. */
  onEvent(event: Extract<DatapathEvent, { session: number }>): void {
    const connection = this.#connections.get(event.session);
    if (connection === undefined) return;
    switch (event.event) {
      case "control":
        return connection.onControl(event.message, event.datagramBytes);
      case "address-changed":
        return connection.onAddress(event.address);
      case "too-big":
        return connection.onTooBig();
    }
  }
}

export class SleeveConnection implements OverlayConnection {
  /** Our number for the connection, in the datapath and in the other end's datagrams. */
  readonly session: number;
  readonly #options: SleeveOptions;
  readonly #link: OverlayLink;
  readonly #forget: () => void;
  readonly #keys: DataKeys;
  readonly #rekeying: Timer;
  #path: Path | undefined;
  #wake: Timer | undefined;
  #remoteSession = 0;
  #early: { readonly message: Uint8Array; readonly datagramBytes: number } | undefined;
  /** 0 until it is known: for the end that was dialled, until the first datagram comes. */
  #address: number;
  #stopped = false;

  constructor(options: SleeveOptions, link: OverlayLink, session: number, forget: () => void) {
    this.#options = options;
    this.#link = link;
    this.session = session;
    this.#forget = forget;
    this.#address = link.remotePort === undefined ? 0 : endpoint(link.remoteHost, link.remotePort);
    this.#keys = new DataKeys(link.outbound, link.secret, options.random);
    options.datapath.send({ do: "open", session, peer: macNumber(link.remote.name), encrypted: link.encrypted });
    this.#carryOut(this.#keys.start());
    this.#rekeying = every(options.clock, REKEY_MS, () => this.#carryOut(this.#keys.rekey()));
    link.send(encode({ kind: "open", session }));
  }

  receive(bytes: Uint8Array): void {
    const message = decode(shape, bytes, "an overlay message");
    if (message.kind !== "open") return this.#carryOut(this.#keys.receive(message));
    if (this.#remoteSession !== 0) throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "the overlay is open already");
    this.#remoteSession = message.session;
    this.#path = new Path(this.#options.clock.now());
    this.#tellPath(this.#address);
    this.#follow([]);
    if (this.#early !== undefined) this.onControl(this.#early.message, this.#early.datagramBytes);
    this.#learnCeiling();
  }

  attributes(): Record<string, string | number | boolean> {
    const mtu = innerMtu(this.#path?.datagramBytes ?? FLOOR_DATAGRAM);
    return this.#link.encrypted ? { encrypted: true, mtu } : { mtu };
  }

  /** For the report: what stands behind the figure in status. */
  diagnostics(): Record<string, string | number> {
    const { datagramBytes = FLOOR_DATAGRAM, reason = "not probed yet", state = "connecting" } = this.#path ?? {};
    return {
      State: state,
      RemoteAddr: this.#address === 0 ? "" : endpointText(this.#address),
      DatagramBytes: datagramBytes,
      DatagramReason: reason,
      KeyEpoch: this.#keys.epoch,
    };
  }

  onControl(bytes: Uint8Array, datagramBytes: number): void {
    const message = decodePathMessage(bytes);
    const path = this.#path;
    if (message === undefined) return;
    if (path === undefined) {
      // UDP overtook the connection: the ping waits for the session that it is to be answered with.
      this.#early = { message: bytes, datagramBytes };
      return;
    }
    const now = this.#options.clock.now();
    if (message.type === "pong") return this.#follow(path.pong(message.id, message.datagramBytes, now));
    const pong = encodePathMessage({ type: "pong", id: message.id, datagramBytes });
    this.#options.datapath.send({ do: "control", session: this.session, message: pong, datagramBytes: 0 });
    this.#follow(path.pinged(now));
  }

  onAddress(address: number): void {
    const was = this.#address;
    this.#address = address;
    if (was !== 0)
      this.#options.log.info("Peer UDP address changed", {
        peer: peerText(this.#link.remote),
        to: endpointText(address),
      });
  }

  /** The kernel refused a datagram of the size in use. */
  onTooBig(): void {
    this.#learnCeiling();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#rekeying.cancel();
    this.#wake?.cancel();
    this.#options.datapath.send({ do: "close", session: this.session });
    this.#forget();
  }

  #learnCeiling(): void {
    void this.#options.linkMtu(this.#link.remoteHost).then((mtu = USUAL_MTU) => {
      if (this.#stopped || this.#path === undefined) return;
      this.#follow(this.#path.limit(Math.min(mtu, LARGEST_MTU) - HEADERS, this.#options.clock.now()));
    });
  }

  /** @param address 0 leaves it to the datapath, which follows the peer */
  #tellPath(address: number): void {
    this.#options.datapath.send({
      do: "path",
      session: this.session,
      remoteSession: this.#remoteSession,
      address,
      datagramBytes: this.#path!.datagramBytes,
      datagramsPerRecord: 4,
      stream: false,
    });
  }

  /** Carries out what the path wants, and wakes it when it next wants something. */
  #follow(effects: readonly PathEffect[]): void {
    const { clock, datapath, log } = this.#options;
    for (const effect of effects) {
      switch (effect.do) {
        case "ping":
          datapath.send({
            do: "control",
            session: this.session,
            message: encodePathMessage({ type: "ping", id: effect.id, datagramBytes: effect.datagramBytes }),
            datagramBytes: effect.datagramBytes,
          });
          break;
        case "size":
          this.#tellPath(0);
          log.info("Effective MTU verified", {
            peer: peerText(this.#link.remote),
            mtu: innerMtu(effect.datagramBytes),
          });
          break;
        case "established":
          this.#link.established();
          break;
        case "dead":
          this.#link.failed(new WeaveError("WEAVE_CONNECTION", effect.reason));
      }
    }
    this.#wake?.cancel();
    if (this.#stopped || this.#path === undefined || this.#path.state === "dead") return;
    const now = clock.now();
    this.#wake = clock.after(Math.max(0, this.#path.wakeAt - now), () => this.#follow(this.#path!.tick(clock.now())));
  }

  #carryOut(effects: readonly KeyEffect[]): void {
    for (const effect of effects) {
      if (effect.do === "send") this.#link.send(encode(effect.message));
      else this.#options.datapath.send({ ...effect, do: "key", session: this.session });
    }
  }
}
