import * as z from "zod/mini";
import type { Attributes } from "#mesh/overlay.js";
import type { Carrier, CarrierDeps, CarrierKind, CarrierLink, CarrierState } from "#router/carriers/carrier.js";
import {
  type CarrierSpeeds,
  SPEEDS_SHAPE,
  type TunnelWish,
  tunnelComesFirst,
} from "#router/carriers/fastdp/carrier-speeds.js";
import { type Heartbeat, HeartbeatKeys } from "#router/carriers/fastdp/heartbeat.js";
import type { KernelTunnel, PeerTunnel } from "#router/carriers/fastdp/kernel-tunnel.js";
import { KEY_PROOF_BYTES, KeyProof } from "#router/carriers/fastdp/key-proof.js";
import { PathProof, type ProofEffect } from "#router/carriers/fastdp/path-proof.js";
import type { Timer } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import { printableText } from "#src/text.js";

/** MTU assumed for a route of unknown MTU: that of Ethernet. */
const USUAL_MTU = 1_500;
/** Time until another attempt after the kernel has refused the peer: an earlier process's peer may be in the way, for seconds. */
export const RETRY_MS = 5_000;
/** Maximum characters of a reason of the other end. */
const MAX_REASON = 200;

/** What an end says of its tunnel. It is sent again after each change. */
interface TunnelMessage {
  readonly kind: "tunnel";
  /** UDP port of the tunnel; 0: there is none, for the reason. */
  readonly port: number;
  readonly reason: string;
  /** Public key of the end's WireGuard; empty without encryption. */
  readonly key: Uint8Array;
  /** A random number of the end: its kernel drops heartbeats without it, as containers may flood it with forged ones. */
  readonly cookie: number;
  /** What the end wants of the order of the carriers; absent: it has not measured, and leaves it to the other end. */
  readonly choice?: TunnelWish["choice"];
  readonly speeds?: CarrierSpeeds;
}

/** Proves the key of the last {@link TunnelMessage}. */
interface KeyProofMessage {
  readonly kind: "tunnel-key";
  readonly proof: Uint8Array;
}

const bytesOf = (...lengths: readonly number[]) =>
  z.instanceof(Uint8Array).check(z.refine((bytes) => lengths.includes((bytes as Uint8Array).length)));

const tunnelShape = z.object({
  kind: z.literal("tunnel"),
  port: z.number().check(z.int(), z.gte(0), z.lte(65_535)),
  reason: z.string().check(z.maxLength(MAX_REASON)),
  cookie: z.number().check(z.int(), z.gte(0), z.lte(0xffffffff)),
  key: bytesOf(0, 32),
  choice: z.optional(z.enum(["on", "auto"])),
  speeds: z.optional(SPEEDS_SHAPE),
});
const keyProofShape = z.object({ kind: z.literal("tunnel-key"), proof: bytesOf(KEY_PROOF_BYTES) });

/** The tunnels of this host: one for connections in clear, and one for encrypted ones. */
export interface KernelTunnels {
  readonly clear: KernelTunnel;
  readonly encrypted: KernelTunnel;
}

/**
 * The carrier of the kernel: VXLAN between the bridges of two hosts. Frames to known MACs of a neighbour never enter this process; all
 * others (broadcast, unknown, for hosts behind a neighbour) take the TAP and the next carrier.
 */
export const fastdpCarrier = (tunnels: KernelTunnels): CarrierKind => ({
  name: "fastdp",
  messages: { tunnel: tunnelShape, "tunnel-key": keyProofShape },
  open: (link, deps) => new Fastdp(link, deps, link.encrypted ? tunnels.encrypted : tunnels.clear),
});

/**
 * What a connection does about its path:
 *
 *   waiting ──both ends have a tunnel──▶ connecting ──▶ proving
 *      │                                   ▲    │          │
 *      └────────▶ ended ◀──────────────────┼────┴──────────┘   an end has no tunnel, or the kernel refuses the peer
 *                   └──a change, or time───┘
 *
 * All of them end in "stopped".
 */
type Phase = "waiting" | "connecting" | "proving" | "ended" | "stopped";

class Fastdp implements Carrier {
  readonly name = "fastdp";
  readonly nextHop = undefined;
  readonly #link: CarrierLink;
  readonly #deps: CarrierDeps;
  readonly #tunnel: KernelTunnel;
  readonly #keys: HeartbeatKeys;
  readonly #presharedKey: Uint8Array;
  /** Undefined without encryption. */
  readonly #keyProof: KeyProof | undefined;
  /** Whether the other end has proven the key that it has sent. */
  #isKeyProven = false;
  #proof: PathProof | undefined;
  #peer: PeerTunnel | undefined;
  #theirs: TunnelMessage | undefined;
  #state: CarrierState;
  #doubtful = true;
  #phase: Phase = "waiting";
  /** Number of the last attempt to connect, and of the one that has made the peer: a change while one waits makes it stale. */
  #attempt = 0;
  #connected = 0;
  #retry: Timer | undefined;
  /** MTU of our own link towards the peer, in bytes. */
  #linkMtu = USUAL_MTU;
  #wake: Timer | undefined;
  #unsubscribe: (() => void) | undefined;
  #inUse = false;
  #beats = { sent: 0, arrived: 0 };

  constructor(link: CarrierLink, deps: CarrierDeps, tunnel: KernelTunnel) {
    this.#link = link;
    this.#deps = deps;
    this.#tunnel = tunnel;
    const secret = link.secretFor("fastdp");
    this.#keys = new HeartbeatKeys(secret, link.outbound);
    secret.fill(0);
    this.#presharedKey = link.secretFor("fastdp wireguard");
    const { key } = tunnel;
    this.#keyProof = key && new KeyProof(key, link.secretFor("fastdp wireguard key"), link.outbound);
    const { problem } = tunnel;
    this.#state = {
      condition: problem === undefined ? "probing" : "failed",
      reason: problem ?? "no heartbeat is answered yet",
      since: deps.clock.now(),
    };
  }

  get state(): CarrierState {
    return this.#state;
  }

  get doubtful(): boolean {
    return this.#doubtful;
  }

  /** Sleeve comes first until both ends know better: it works at once. */
  get follows(): string | undefined {
    const { isOff, wish } = this.#tunnel;
    if (isOff) return "stream";
    return wish === undefined || this.#order(wish).first ? undefined : "sleeve";
  }

  get mtu(): number {
    return Math.max(0, this.#linkMtu - this.#tunnel.overhead);
  }

  attributes(): Attributes {
    return {};
  }

  diagnostics(): Attributes {
    return {
      ...(this.#tunnel.wish === undefined ? {} : { Order: this.#order(this.#tunnel.wish).why }),
      Tunnel: this.#link.encrypted ? "vxlan in wireguard" : "vxlan",
      RemoteAddr: this.#peer?.address ?? "",
      HeartbeatBytes: this.#beatBytes,
      HeartbeatsSent: this.#beats.sent,
      HeartbeatsReceived: this.#beats.arrived,
    };
  }

  start(): void {
    this.#unsubscribe = this.#tunnel.onChange(() => this.#tunnelChanged());
    this.#tunnel.opened(this.#link.peer, this.#link.remoteHost);
    this.#announce();
    this.#learnMtu();
  }

  receive(message: TunnelMessage | KeyProofMessage): void {
    if (message.kind === "tunnel-key") return this.#receiveProof(message);
    const before = this.#theirs;
    this.#theirs = message;
    if (before === undefined || Buffer.compare(before.key, message.key) !== 0) {
      this.#isKeyProven = this.#keyProof === undefined;
      this.#sendProof(message.key);
    }
    // The order of the carriers may be another one.
    this.#link.changed();
    void this.#connect();
  }

  onEvent(): void {}

  onLinksChanged(): void {
    this.#learnMtu();
  }

  selected(inUse: boolean): void {
    this.#inUse = inUse;
    this.#peer?.carry(inUse);
  }

  stop(): void {
    this.#phase = "stopped";
    this.#attempt++;
    this.#wake?.cancel();
    this.#retry?.cancel();
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#tunnel.heartbeats.remove(this.#keys);
    this.#keys.close();
    this.#presharedKey.fill(0);
    this.#keyProof?.close();
    // Frames of a proven path go on: the kernels forward them while a router is replaced.
    this.#peer?.release();
    this.#peer = undefined;
  }

  get #beatBytes(): number {
    return Math.min(this.mtu, this.#deps.bridge.mtu);
  }

  get #stopped(): boolean {
    return this.#unsubscribe === undefined;
  }

  #isIn(phase: Phase): boolean {
    return this.#phase === phase;
  }

  #order(wish: TunnelWish): { readonly first: boolean; readonly why: string } {
    const { choice = "auto", speeds } = this.#theirs ?? {};
    return tunnelComesFirst(wish, { choice, speeds });
  }

  #sendProof(theirs: Uint8Array): void {
    if (this.#keyProof === undefined || theirs.length === 0) return;
    try {
      const message: KeyProofMessage = { kind: "tunnel-key", proof: this.#keyProof.make(theirs) };
      this.#link.send(message);
    } catch {
      // It is no key, and so will not be proven.
    }
  }

  #receiveProof({ proof }: KeyProofMessage): void {
    const { key = new Uint8Array() } = this.#theirs ?? {};
    this.#isKeyProven = this.#keyProof?.isRight(key, proof) ?? true;
    if (this.#isKeyProven) void this.#connect();
    else this.#end("at the other end: the key of its WireGuard is not proven to be its own");
  }

  #announce(): void {
    const { problem, port, key, cookie, wish } = this.#tunnel;
    const { choice, speeds } = wish ?? {};
    const message: TunnelMessage = {
      kind: "tunnel",
      port: problem === undefined ? port : 0,
      reason: (problem ?? "").slice(0, MAX_REASON),
      key: key?.public ?? new Uint8Array(),
      cookie,
      ...(choice === undefined ? {} : { choice }),
      ...(speeds === undefined ? {} : { speeds }),
    };
    this.#link.send(message);
  }

  #learnMtu(): void {
    void this.#deps.linkMtu(this.#link.remoteHost).then((mtu = USUAL_MTU) => {
      if (this.#stopped || mtu === this.#linkMtu) return;
      this.#linkMtu = mtu;
      this.#peer?.setMtu(mtu);
    });
  }

  /** The tunnel of this host was made, repaired or lost. */
  #tunnelChanged(): void {
    this.#announce();
    this.#link.changed();
    void this.#connect();
  }

  /** Begins to prove the path when both ends have a tunnel. */
  async #connect(): Promise<void> {
    const theirs = this.#theirs;
    if (this.#stopped || theirs === undefined) return;
    const attempt = ++this.#attempt;
    this.#retry?.cancel();
    const problem = this.#tunnel.problem ?? problemOf(theirs);
    if (problem !== undefined) return this.#end(problem);
    // The proof is on its way, or was wrong.
    if (!this.#isKeyProven) return;
    if (this.#phase !== "proving") this.#phase = "connecting";
    let connected: PeerTunnel;
    try {
      const { peer, remoteHost: host, outbound: isDialler } = this.#link;
      const { port, key: publicKey } = theirs;
      const keys = { publicKey, presharedKey: this.#presharedKey };
      connected = await this.#tunnel.connect({ peer, host, port, ...keys, isDialler, linkMtu: this.#linkMtu });
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#retry = this.#deps.clock.after(RETRY_MS, () => void this.#connect());
      return this.#end(errorText(error));
    }
    if (this.#isIn("stopped")) return connected.release();
    // The tunnels know the peer of the last attempt that has succeeded.
    if (attempt > this.#connected) {
      this.#connected = attempt;
      this.#peer = connected;
    }
    if (attempt !== this.#attempt) {
      if (this.#isIn("ended")) this.#peer?.carry(false);
      return;
    }
    if (this.#isIn("proving")) return;
    this.#phase = "proving";
    this.#proof = new PathProof(this.#link.outbound, this.#deps.clock.now());
    this.#tunnel.heartbeats.add(this.#keys, (beat) => this.#onBeat(beat));
    this.#schedule();
  }

  #end(reason: string): void {
    this.#phase = "ended";
    this.#wake?.cancel();
    this.#tunnel.heartbeats.remove(this.#keys);
    this.#proof = undefined;
    this.#peer?.carry(false);
    const same = this.#doubtful && this.#state.condition === "failed" && this.#state.reason === reason;
    this.#doubtful = true;
    if (!same) this.#change("failed", reason);
  }

  #onBeat(beat: Heartbeat): void {
    this.#beats.arrived++;
    this.#apply(this.#proof!.beat(beat, this.#deps.clock.now()));
  }

  #schedule(): void {
    const { clock } = this.#deps;
    this.#wake?.cancel();
    if (this.#stopped || this.#proof === undefined) return;
    const wait = Math.max(0, this.#proof.wakeAt - clock.now());
    this.#wake = clock.after(wait, () => this.#apply(this.#proof!.tick(clock.now())));
  }

  #apply(effects: readonly ProofEffect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case "beat":
          this.#beats.sent++;
          this.#send(effect);
          break;
        case "usable":
          // The proof itself starts without a doubt, and so reports none that ends.
          this.#doubtful = false;
          this.#change("usable", "heartbeats pass both ways", effect.since);
          break;
        case "failed":
          // A path that was inherited, or not chosen, may carry frames as well.
          if (!this.#inUse) this.#peer?.carry(false);
          this.#change("failed", effect.reason);
          break;
        case "doubt":
          this.#doubtful = effect.doubtful;
          this.#link.changed();
      }
    }
    this.#schedule();
  }

  #send(beat: { readonly count: number; readonly asks: boolean }): void {
    const { peer } = this.#link;
    const { cookie = 0 } = this.#theirs ?? {};
    this.#tunnel.heartbeats.send(this.#keys, { peer, cookie, bytes: this.#beatBytes }, beat);
  }

  #change(condition: CarrierState["condition"], reason: string, since = this.#deps.clock.now()): void {
    this.#state = { condition, reason, since };
    this.#link.changed();
  }
}

const problemOf = ({ port, reason }: TunnelMessage): string | undefined =>
  port !== 0 ? undefined : `at the other end: ${printableText(reason) || "there is no tunnel"}`;
