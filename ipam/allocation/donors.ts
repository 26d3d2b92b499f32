import { type Interval, sizeOf } from "#ipam/ring/interval.js";
import type { Ring } from "#ipam/ring/ring.js";
import { addressText } from "#ipam/ring/subnet.js";
import type { Surroundings } from "#ipam/surroundings.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";

/** A peer that has not answered by then is passed over for a while. */
const ANSWER_MS = 3_000;
/** How long a "no" counts, unless the peer says before that it has space again. */
const DENIED_MS = 30_000;
const SILENT_MS = 10_000;

interface Ask {
  /** Whose answer is awaited. */
  peer: PeerName | undefined;
  at: number;
  /** Who need not be asked now, and until when. */
  readonly passed: Map<PeerName, { readonly until: number; readonly denied: boolean }>;
}

/** Whom to ask for space, one after the other for each interval that somebody here needs addresses in. */
export class Donors {
  readonly #env: Surroundings;
  readonly #asks = new Map<string, Ask>();
  readonly #hints = new Map<PeerName, { version: number; free: number }>();

  constructor(env: Surroundings) {
    this.#env = env;
  }

  /** What a peer says of its free space. @returns whether it was news */
  hint(peer: PeerName, version: number, free: number): boolean {
    const known = this.#hints.get(peer);
    if (known === undefined ? this.#hints.size >= MAX_PEERS : known.version >= version) return false;
    this.#hints.set(peer, { version, free });
    if (free > 0) for (const ask of this.#asks.values()) ask.passed.delete(peer);
    return true;
  }

  /** Asks the next owner for addresses in an interval, unless one is being asked. */
  ask(bounds: Interval, ring: Ring): void {
    const now = this.#env.clock.now();
    const ask = this.#askFor(bounds);
    if (ask.peer !== undefined) {
      if (now - ask.at < ANSWER_MS) return;
      ask.passed.set(ask.peer, { until: now + SILENT_MS, denied: false });
    }
    ask.peer = this.#choose(bounds, ask, ring, now);
    ask.at = now;
    if (ask.peer === undefined) return;
    this.#env.log.debug("a peer is asked for addresses", { peer: ask.peer, from: addressText(bounds.start) });
    this.#env.unicast(ask.peer, { kind: "request", bounds });
  }

  denied(peer: PeerName, bounds: Interval): void {
    const ask = this.#asks.get(keyOf(bounds));
    if (ask?.peer !== peer) return;
    ask.peer = undefined;
    ask.passed.set(peer, { until: this.#env.clock.now() + DENIED_MS, denied: true });
  }

  /** A peer gave us something: whoever waits looks again before anybody else is asked. */
  gave(peer: PeerName): void {
    for (const ask of this.#asks.values()) if (ask.peer === peer) ask.peer = undefined;
  }

  hasDenied(peer: PeerName, bounds: Interval): boolean {
    const passed = this.#asks.get(keyOf(bounds))?.passed.get(peer);
    return passed?.denied === true && passed.until > this.#env.clock.now();
  }

  /** How the asking stands, for those who wait. */
  progress(bounds: Interval): { asked: PeerName | undefined; denied: number } {
    const ask = this.#asks.get(keyOf(bounds));
    const denied = [...(ask?.passed.values() ?? [])].filter((each) => each.denied).length;
    return { asked: ask?.peer, denied };
  }

  /** Drops what nobody has asked about for long. */
  tidy(): void {
    const now = this.#env.clock.now();
    for (const [key, ask] of this.#asks) if (now - ask.at > 2 * DENIED_MS) this.#asks.delete(key);
  }

  #askFor(bounds: Interval): Ask {
    const key = keyOf(bounds);
    let ask = this.#asks.get(key);
    if (ask === undefined) {
      ask = { peer: undefined, at: this.#env.clock.now(), passed: new Map() };
      this.#asks.set(key, ask);
    }
    return ask;
  }

  /** At random, weighted by what they say is free, so that not all ask the same. As the original. */
  #choose(bounds: Interval, { passed }: Ask, ring: Ring, now: number): PeerName | undefined {
    const reachable = this.#env.peers.reachable();
    const shares = new Map<PeerName, number>();
    for (const span of ring.within(bounds)) {
      const { owner, pending } = span.value;
      if (pending || !reachable.has(owner) || (passed.get(owner)?.until ?? 0) > now) continue;
      shares.set(owner, (shares.get(owner) ?? 0) + Number(sizeOf(span)));
    }
    let total = 0;
    for (const [peer, share] of shares) {
      // One that says it has nothing may be asked too, last: it may have changed its mind.
      const weight = Math.max(Math.min(share, this.#hints.get(peer)?.free ?? share), 0.001);
      shares.set(peer, weight);
      total += weight;
    }
    let point = (this.#env.random.below(2 ** 32) / 2 ** 32) * total;
    for (const [peer, weight] of shares) {
      point -= weight;
      if (point < 0) return peer;
    }
    return [...shares.keys()].at(-1);
  }
}

const keyOf = ({ start, end }: Interval): string => `${start}-${end}`;
