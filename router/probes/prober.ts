import type { PeerName } from "#mesh/peer.js";
import type { BridgeFrames } from "#router/probes/bridge-frames.js";
import {
  decodeArpReply,
  decodeProbe,
  encodeArpProbe,
  encodeProbe,
  LEAST_PROBE_BYTES,
  PROBE_TOKEN_BYTES,
} from "#router/probes/probe-frame.js";
import type { RoundTrips } from "#router/probes/round-trips.js";
import type { Clock } from "#src/clock.js";
import type { MacText } from "#src/mac.js";
import type { Random } from "#src/random.js";
import { RateLimiter } from "#src/rate-limiter.js";
import { toHex } from "#src/text.js";

/** Probes of one series at most, and of all series that wait for an answer. */
export const MAX_PROBES = 20;
const MAX_OUTSTANDING = 512;
/** Time between two probes of a series. */
const INTERVAL_MS = 20;
/**
 * Answers to probes: of each source, and of all together. A container may send probes as well, and each costs an answer of its size. 40 a
 * second are ten traces at the same time.
 */
const ANSWERS = { of: { perSecond: 40, burst: 80 }, all: { perSecond: 200, burst: 400 } };

export interface ProberDeps {
  readonly self: PeerName;
  readonly frames: Pick<BridgeFrames, "events" | "send" | "useArp" | "refresh">;
  readonly clock: Clock;
  readonly random: Random;
}

/** How a series is sent. */
export interface ProbeOptions {
  readonly count: number;
  /** How long the answer to a probe is awaited, in milliseconds. */
  readonly waitMs: number;
  /** Size of a probe without its Ethernet header; the least by default. */
  readonly bytes?: number;
}

/** What answered for an address. */
export interface ArpResult extends RoundTrips {
  /** The MACs that answered; several: containers have the same address. */
  readonly macs: readonly MacText[];
}

/** Maximum number of MACs that are kept of the answers for one address: two prove that it is in use twice. */
const MAX_MACS = 4;

/** Sends probes by the path of frames, and answers those of other hosts. */
export class Prober {
  readonly #deps: ProberDeps;
  readonly #outstanding = new Map<string, { readonly to: PeerName; readonly answered: () => void }>();
  readonly #arpListeners = new Set<(address: string, mac: MacText) => void>();
  readonly #answersOf: RateLimiter;
  readonly #answers: RateLimiter;

  constructor(deps: ProberDeps) {
    this.#deps = deps;
    this.#answersOf = new RateLimiter(deps.clock, ANSWERS.of);
    this.#answers = new RateLimiter(deps.clock, ANSWERS.all);
    deps.frames.events.on("probe", (frame) => this.#onProbe(frame));
    deps.frames.events.on("arp", (frame) => this.#onArp(frame));
  }

  /** Sends probes from this host's bridge to that of a peer, and waits for the answers. A probe that cannot be sent counts as lost. */
  echo(peer: PeerName, options: ProbeOptions): Promise<RoundTrips> {
    this.#deps.frames.refresh();
    return this.#series(options, (answered) => this.#sendProbe(peer, options.bytes ?? LEAST_PROBE_BYTES, answered));
  }

  /**
   * Sends ARP probes for an address, from this host's bridge.
   *
   * @param mac of the container; undefined: all containers of all hosts are asked
   */
  async arp(address: string, mac: MacText | undefined, options: ProbeOptions): Promise<ArpResult> {
    const { frames, self } = this.#deps;
    frames.refresh();
    const release = frames.useArp();
    const macs = new Set<MacText>();
    // An ARP reply does not name its request: it answers the oldest one.
    const waiting: (() => void)[] = [];
    const listener = (replied: string, from: MacText) => {
      if (replied !== address) return;
      if (macs.size < MAX_MACS) macs.add(from);
      if (mac === undefined || mac === from) waiting.shift()?.();
    };
    this.#arpListeners.add(listener);
    try {
      const send = (answered: () => void) => {
        waiting.push(answered);
        frames.send(encodeArpProbe(address, self, mac));
        return () => {
          const at = waiting.indexOf(answered);
          if (at >= 0) waiting.splice(at, 1);
        };
      };
      // One after another: otherwise the answer to the second probe would count for a first one that was lost.
      const times: number[] = [];
      for (let i = 0; i < options.count; i++) {
        const one = await this.#series({ ...options, count: 1 }, send);
        times.push(...one.times);
      }
      // A second container with the address may answer later than the first.
      if (mac === undefined && macs.size > 0) await this.#pause(INTERVAL_MS);
      return { sent: options.count, times, macs: [...macs] };
    } finally {
      this.#arpListeners.delete(listener);
      release();
    }
  }

  /** @param send sends a probe; it returns a function that forgets the probe */
  #series(
    { count, waitMs }: ProbeOptions,
    send: (answered: () => void) => (() => void) | undefined,
  ): Promise<RoundTrips> {
    const { clock } = this.#deps;
    const times: (number | undefined)[] = [];
    let open = Math.min(count, MAX_PROBES);
    const total = open;
    return new Promise((resolve) => {
      const ended = () => {
        if (--open === 0) resolve({ sent: total, times: times.filter((time) => time !== undefined) });
      };
      const sendOne = (index: number) => {
        let forget: (() => void) | undefined;
        const timer = clock.after(waitMs, () => {
          forget?.();
          ended();
        });
        const at = clock.now();
        forget = send(() => {
          times[index] = clock.now() - at;
          timer.cancel();
          ended();
        });
      };
      for (let index = 0; index < total; index++) clock.after(index * INTERVAL_MS, () => sendOne(index));
      if (total === 0) resolve({ sent: 0, times: [] });
    });
  }

  #sendProbe(to: PeerName, bytes: number, answered: () => void): (() => void) | undefined {
    const { self, random, frames } = this.#deps;
    if (this.#outstanding.size >= MAX_OUTSTANDING) return undefined;
    const token = random.bytes(PROBE_TOKEN_BYTES);
    const key = toHex(token);
    this.#outstanding.set(key, { to, answered });
    frames.send(encodeProbe({ type: "request", from: self, to, token, bytes }));
    return () => this.#outstanding.delete(key);
  }

  #onProbe(bytes: Uint8Array): void {
    const { self, frames } = this.#deps;
    const probe = decodeProbe(bytes);
    if (probe === undefined || probe.from === self) return;
    if (probe.type === "request") {
      if (!this.#answersOf.admit(probe.from) || !this.#answers.admit("")) return;
      frames.send(encodeProbe({ ...probe, type: "answer", from: self, to: probe.from }));
      return;
    }
    const key = toHex(probe.token);
    const outstanding = this.#outstanding.get(key);
    if (outstanding?.to !== probe.from) return;
    this.#outstanding.delete(key);
    outstanding.answered();
  }

  #onArp(bytes: Uint8Array): void {
    const reply = decodeArpReply(bytes);
    if (reply !== undefined) for (const listener of [...this.#arpListeners]) listener(reply.address, reply.mac);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.after(ms, resolve));
  }
}
