import { type Interval, sizeOf } from "#ipam/ring/interval.js";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Interval at which the counted donations to each peer are halved. */
const HALVING_MS = 600_000;
/** Maximum number of requesters that are counted. */
const MAX_REQUESTERS = 4_096;
/** Rate of requests of a peer that has its share, and the number of addresses for each of them. */
const BEYOND_RATE = { perSecond: 2, burst: 20 };
const BEYOND_SIZE = 8n;

/**
 * Limits what one requester gets from this donor: its share, an equal part for each reachable peer, at once and in large blocks;
 * beyond that a few addresses at a time. One that asks for ever cannot take all within a short time.
 */
export class FairShares {
  readonly #clock: Clock;
  readonly #given = new Map<PeerName, bigint>();
  readonly #beyond: RateLimiter;
  #halvedAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#halvedAt = clock.now();
    this.#beyond = new RateLimiter(clock, BEYOND_RATE);
  }

  /**
   * Returns the part of a block that a requester may get now; undefined for none, because it has its share and asks too often.
   *
   * @param owned number of this peer's addresses @param peers number of reachable peers, this one included
   */
  limit(to: PeerName, block: Interval, { owned, peers }: { owned: bigint; peers: number }): Interval | undefined {
    this.#halve();
    const given = this.#given.get(to) ?? 0n;
    let total = owned;
    for (const each of this.#given.values()) total += each;
    if (given < total / BigInt(Math.max(2, peers))) return block;
    if (!this.#beyond.admit(to)) return undefined;
    return sizeOf(block) <= BEYOND_SIZE ? block : { start: block.end - BEYOND_SIZE, end: block.end };
  }

  /** Counts a donation. */
  note(to: PeerName, block: Interval): void {
    this.#given.set(to, (this.#given.get(to) ?? 0n) + sizeOf(block));
    limitSize(this.#given, MAX_REQUESTERS);
  }

  #halve(): void {
    const now = this.#clock.now();
    if (now - this.#halvedAt < HALVING_MS) return;
    this.#halvedAt = now;
    for (const [peer, given] of this.#given) {
      if (given <= 1n) this.#given.delete(peer);
      else this.#given.set(peer, given / 2n);
    }
  }
}
