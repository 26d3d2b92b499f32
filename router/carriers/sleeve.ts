import { z } from "zod/mini";
import type { Overlay, OverlayConnection, OverlayLink } from "#mesh/overlay.js";
import { peerText } from "#mesh/peer.js";
import { DataKeys, type KeyEffect, REKEY_MS, rekeyShapes } from "#router/carriers/keys.js";
import { RecordSize } from "#router/carriers/record-size.js";
import { type BatchEffect, BatchProbe } from "#router/carriers/sleeve/batch-probe.js";
import { Path, type PathEffect } from "#router/carriers/sleeve/path.js";
import { decodePathMessage, encodePathMessage, type PathMessage } from "#router/datapath/control.js";
import { NEXT_HOP_DATAGRAMS, NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import type { Command, DatapathEvent } from "#router/datapath/protocol.js";
import { innerMtu, MAX_RECORD } from "#router/datapath/record.js";
import { type Arrivals, FLOOR_DATAGRAM } from "#router/datapath/session.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { decode, encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { macNumber } from "#src/mac.js";
import { datagramOverhead, type Endpoint, endpoint, endpointText, hostText, isAddress } from "#src/net/endpoint.js";
import type { Random } from "#src/random.js";

/** Ethernet's usual MTU, for a route that we know nothing of; and the largest that we probe. */
const USUAL_MTU = 1_500;
const LARGEST_MTU = 9_216;

/** Small records keep small packets between large ones. */
const STREAM_RECORD_BYTES = 16_384;
const MAX_IP_PACKET = 65_535;

const openShape = z.object({
  kind: z.literal("open"),
  session: z.number().check(z.int(), z.gte(1), z.lte(0xffffffff)),
});
const count = z.number().check(z.int(), z.gte(0), z.lte(0xffffffff));
const arrivalsShape = z.object({ kind: z.literal("arrivals"), expected: count, accepted: count, datagrams: count });
const recordShape = z.object({
  kind: z.literal("record"),
  record: z
    .instanceof(Uint8Array)
    .check(z.refine((bytes) => (bytes as Uint8Array).length > 1 && (bytes as Uint8Array).length <= 1 + MAX_RECORD)),
});
const shape = z.discriminatedUnion("kind", [openShape, arrivalsShape, recordShape, ...rekeyShapes]);

type ControlEvent = Extract<DatapathEvent, { event: "control" }>;

export interface SleeveOptions {
  readonly datapath: { send(command: Command): void };
  /** MTU of our own link towards a host, in bytes; undefined when unknown. */
  readonly linkMtu: (host: string) => Promise<number | undefined>;
  /** The address of this host that packets to another leave from, as the kernel chooses; undefined: there is no way. */
  readonly sourceTo: (host: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The user-space overlays: decides what the datapath threads carry out. Frames go by UDP ("sleeve") where it passes, and
 * over the connection's own channel ("stream") where it does not.
 */
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

  /** Links or routes of this host have changed: the size of a path may be another. */
  linksChanged(): void {
    for (const connection of this.#connections.values()) connection.onLinksChanged();
  }

  /** What the datapath thread says of a session. */
  onEvent(event: Extract<DatapathEvent, { session: number }>): void {
    const connection = this.#connections.get(event.session);
    if (connection === undefined) return;
    switch (event.event) {
      case "control":
        return connection.onControl(event);
      case "frames":
        return connection.onFrames(event.large);
      case "address-changed":
        return connection.onAddress(event.address);
      case "too-big":
        return connection.onTooBig();
      case "record":
        return connection.onStream(event.record);
      case "arrivals":
        return connection.onArrivals(event);
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
  #early: ControlEvent | undefined;
  /** UDP payload that our own link takes towards the peer, as far as it is known. */
  #ceiling = 0;
  /** Undefined until it is known: for the end that was dialled, until the first datagram comes. */
  #address: Endpoint | undefined;
  /**
   * Where our datagrams leave from: the address by which the peer reaches us, since it, and the firewalls between, expect
   * answers from there. Undefined where that is the kernel's own choice, which then follows when the host moves.
   */
  #source: Endpoint | undefined;
  #stopped = false;
  #recordSize: RecordSize;
  readonly #batchProbe = new BatchProbe();
  #batchWake: Timer | undefined;
  /** Why frames do not go by UDP, and since when (milliseconds of the day's clock). */
  #streaming: { readonly reason: string; readonly since: number } | undefined;

  constructor(options: SleeveOptions, link: OverlayLink, session: number, forget: () => void) {
    this.#options = options;
    this.#link = link;
    this.session = session;
    this.#forget = forget;
    this.#address = link.remotePort === undefined ? undefined : endpoint(link.remoteHost, link.remotePort);
    this.#source = isAddress(link.localHost) ? endpoint(link.localHost, 0) : undefined;
    this.#recordSize = new RecordSize(options.clock.now());
    this.#keys = new DataKeys(link.outbound, link.secret, options.random);
    options.datapath.send({ do: "open", session, peer: macNumber(link.remote.name), encrypted: link.encrypted });
    this.#carryOut(this.#keys.start());
    this.#rekeying = every(options.clock, REKEY_MS, () => this.#carryOut(this.#keys.rekey()));
    link.send(encode({ kind: "open", session }));
  }

  receive(bytes: Uint8Array): void {
    const message = decode(shape, bytes, "an overlay message");
    switch (message.kind) {
      case "open":
        return this.#open(message.session);
      case "record":
        return this.#options.datapath.send({ do: "record", session: this.session, record: message.record });
      case "arrivals":
        if (this.#recordSize.report(message, this.#options.clock.now())) this.#tellPath();
        return;
      default:
        return this.#carryOut(this.#keys.receive(message));
    }
  }

  #open(session: number): void {
    if (this.#remoteSession !== 0) throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "the overlay is open already");
    this.#remoteSession = session;
    this.#options.datapath.send({ do: "remote", session: this.session, remoteSession: session });
    this.#path = new Path(this.#link.outbound, this.#options.clock.now());
    this.#tellPath(this.#address);
    this.#follow([]);
    if (this.#early !== undefined) this.onControl(this.#early);
    this.#learnCeiling(true);
    this.#learnSource();
  }

  get name(): string {
    return this.#streaming === undefined ? "sleeve" : "stream";
  }

  attributes(): Record<string, string | number | boolean> {
    // Over TCP no packet is too large.
    const mtu = this.#streaming ? MAX_IP_PACKET : innerMtu(this.#path?.datagramBytes ?? FLOOR_DATAGRAM);
    return {
      ...(this.#link.encrypted ? { encrypted: true } : {}),
      mtu,
      ...(this.#streaming && {
        reason: `"${this.#streaming.reason}"`,
        since: new Date(this.#streaming.since).toISOString(),
      }),
      ...(!this.#streaming &&
        !this.#batchProbe.pass && { batches: false, reason: '"datagrams pass one by one, but not in batches"' }),
    };
  }

  /** For the report: what stands behind the figure in status. */
  diagnostics(): Record<string, string | number> {
    const { datagramBytes = FLOOR_DATAGRAM, reason = "not probed yet", state = "connecting" } = this.#path ?? {};
    return {
      State: state,
      RemoteAddr: this.#address === undefined ? "" : endpointText(this.#address),
      SourceAddr: this.#source === undefined ? "" : hostText(this.#source),
      DatagramBytes: datagramBytes,
      DatagramReason: reason,
      KeyEpoch: this.#keys.epoch,
      Batches: this.#batchProbe.pass ? "yes" : "no",
      DatagramsPerRecord: this.#recordSize.datagrams,
      LossPercent: Number((this.#recordSize.loss * 100).toFixed(3)),
    };
  }

  onControl(event: ControlEvent): void {
    const message = decodePathMessage(event.message);
    const path = this.#path;
    if (message === undefined) return;
    if (path === undefined) {
      // UDP overtook the connection: the ping waits for the session that it is to be answered with.
      this.#early = event;
      return;
    }
    const now = this.#options.clock.now();
    if (message.type === "pong" && BatchProbe.owns(message.id))
      return this.#followBatches(this.#batchProbe.pong(message.id, now));
    if (message.type === "pong") return this.#follow(path.pong(message.id, message.datagramBytes, now));
    if (!event.answered) this.#control({ type: "pong", id: message.id, datagramBytes: event.datagramBytes }, 0);
    this.#follow(path.pinged(message.before, now));
  }

  /** Frames are being sent by UDP. */
  onFrames(large: boolean): void {
    if (this.#path === undefined) return;
    const now = this.#options.clock.now();
    this.#follow(this.#path.frames(large, now));
    if (large && this.#path.state === "established") this.#followBatches(this.#batchProbe.used(now));
  }

  onLinksChanged(): void {
    this.#learnCeiling(false);
  }

  onAddress(address: Endpoint): void {
    const was = this.#address;
    this.#address = address;
    if (was !== undefined)
      this.#options.log.info("Peer UDP address changed", {
        peer: peerText(this.#link.remote),
        to: endpointText(address),
      });
  }

  /** The kernel refused a datagram of the size in use. */
  onTooBig(): void {
    this.#learnCeiling(true);
  }

  /** A sealed record that is to go over the connection's own channel. */
  onStream(record: Uint8Array): void {
    const lane = record[0] >>> 4;
    const bytes = record.length - 1;
    this.#link.send(encode({ kind: "record", record }), () =>
      this.#options.datapath.send({ do: "record-sent", session: this.session, lane, bytes }),
    );
  }

  /** What has come from the other end: it decides by that how large its records are. */
  onArrivals({ expected, accepted, datagrams }: Arrivals): void {
    this.#link.send(encode({ kind: "arrivals", expected, accepted, datagrams }));
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#rekeying.cancel();
    this.#wake?.cancel();
    this.#batchWake?.cancel();
    this.#options.datapath.send({ do: "close", session: this.session });
    this.#forget();
  }

  /** @param search look for the size of the path also when our own link is as it was */
  #learnCeiling(search: boolean): void {
    void this.#options.linkMtu(this.#link.remoteHost).then((mtu = USUAL_MTU) => {
      const ceiling = Math.min(mtu, LARGEST_MTU) - datagramOverhead(4);
      if (this.#stopped || this.#path === undefined || (ceiling === this.#ceiling && !search)) return;
      this.#ceiling = ceiling;
      this.#follow(this.#path.limit(ceiling, this.#options.clock.now()));
    });
  }

  #control(message: PathMessage, datagramBytes: number): void {
    const control = {
      do: "control",
      session: this.session,
      message: encodePathMessage(message),
      datagramBytes,
    } as const;
    this.#options.datapath.send(control);
  }

  /** Whether the kernel would choose the source that the peer expects: asked at first, and when nothing comes back. */
  #learnSource(): void {
    const { remoteHost, localHost } = this.#link;
    void this.#options.sourceTo(remoteHost).then((chosen) => {
      const source = chosen === localHost || !isAddress(localHost) ? undefined : endpoint(localHost, 0);
      if (this.#stopped || source?.id === this.#source?.id) return;
      this.#source = source;
      this.#tellPath();
    });
  }

  /** @param address undefined leaves it to the datapath, which follows the peer */
  #tellPath(address?: Endpoint): void {
    this.#options.datapath.send({
      do: "datagrams",
      session: this.session,
      address,
      source: this.#source,
      datagramBytes: this.#path!.datagramBytes,
      datagramsPerRecord: this.#recordSize.datagrams,
      batches: this.#batchProbe.pass,
    });
    this.#options.datapath.send({
      do: "next-hop",
      session: this.session,
      nextHop: this.#streaming
        ? { kind: NEXT_HOP_EVENT_LOOP, recordBytes: STREAM_RECORD_BYTES }
        : { kind: NEXT_HOP_DATAGRAMS },
    });
  }

  /** Carries out what the path wants, and wakes it when it next wants something. */
  #follow(effects: readonly PathEffect[]): void {
    const { clock, log } = this.#options;
    for (const effect of effects) {
      switch (effect.do) {
        case "ping":
          log.debug("a path is probed", {
            peer: peerText(this.#link.remote),
            id: effect.id,
            datagramBytes: effect.datagramBytes,
            state: this.#path?.state,
          });
          this.#control({ ...effect, type: "ping" }, effect.datagramBytes);
          break;
        case "doubt":
          this.#link.doubt(effect.doubtful);
          break;
        case "size":
          this.#tellPath();
          if (effect.datagramBytes === FLOOR_DATAGRAM) this.#followBatches(this.#batchProbe.shrunk(clock.now()));
          log.info("Effective MTU verified", {
            peer: peerText(this.#link.remote),
            mtu: innerMtu(effect.datagramBytes),
          });
          break;
        case "established":
          if (this.#streaming !== undefined)
            log.info("UDP passes again", { peer: peerText(this.#link.remote), after: this.#streaming.reason });
          this.#streaming = undefined;
          this.#tellPath();
          this.#link.established();
          break;
        case "lost":
          log.warn("frames go over the TCP connection", { peer: peerText(this.#link.remote), why: effect.reason });
          this.#streaming = { reason: effect.reason, since: Date.now() };
          this.#learnSource();
          this.#batchProbe.forget();
          this.#tellPath();
          this.#link.established();
      }
    }
    this.#wake?.cancel();
    if (this.#stopped || this.#path === undefined) return;
    const now = clock.now();
    this.#wake = clock.after(Math.max(0, this.#path.wakeAt - now), () => this.#follow(this.#path!.tick(clock.now())));
  }

  /** As {@link #follow}, for what the probe of batches wants. */
  #followBatches(effects: readonly BatchEffect[]): void {
    const { clock, datapath, log } = this.#options;
    const { datagramBytes } = this.#path!;
    for (const effect of effects) {
      if (effect.do === "batches") {
        const remote = { peer: peerText(this.#link.remote) };
        if (effect.pass) log.info("datagrams pass in batches again", remote);
        else log.warn("datagrams pass one by one, but not in batches: each is sent alone", remote);
        this.#tellPath();
        continue;
      }
      const pings = effect.ids.map((id) => ({ type: "ping", id, datagramBytes }) as const);
      if (!effect.batch) for (const ping of pings) this.#control(ping, datagramBytes);
      else {
        const messages = pings.map((ping) => encodePathMessage(ping));
        datapath.send({ do: "batch", session: this.session, messages, datagramBytes });
      }
    }
    this.#batchWake?.cancel();
    const { wakeAt } = this.#batchProbe;
    if (this.#stopped || wakeAt === undefined) return;
    const wait = Math.max(0, wakeAt - clock.now());
    this.#batchWake = clock.after(wait, () => this.#followBatches(this.#batchProbe.tick(clock.now())));
  }

  #carryOut(effects: readonly KeyEffect[]): void {
    for (const effect of effects) {
      if (effect.do === "send") this.#link.send(encode(effect.message));
      else this.#options.datapath.send({ ...effect, do: "key", session: this.session });
    }
  }
}
