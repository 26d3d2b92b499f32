import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

/** Number of sources that a {@link RateLimiter} keeps; beyond it the least recently used one is dropped. */
const SOURCES = 4_096;

/** A token bucket for each source: it holds `burst` tokens, and regains `perSecond` of them. Memory is bounded. */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(clock: Clock, options: { perSecond: number; burst: number }) {
    this.#clock = clock;
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
  }

  /** Takes a token of `source`; false when its bucket is empty. */
  admit(source: string): boolean {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(source) ?? { tokens: this.#burst, at: now };
    bucket.tokens = Math.min(this.#burst, bucket.tokens + ((now - bucket.at) / 1000) * this.#perSecond);
    bucket.at = now;
    this.#buckets.delete(source);
    this.#buckets.set(source, bucket);
    limitSize(this.#buckets, SOURCES);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}
