import type { Random } from "#src/random.js";

/** How the delay between attempts grows. */
export interface BackoffPolicy {
  /** Milliseconds before the second attempt. */
  readonly firstMs: number;
  /** Each delay is this many times the one before. */
  readonly factor: number;
  /** No delay is longer, but for the spread. */
  readonly lastMs: number;
  /** From 0 to 1: each delay is longer or shorter by up to this share, at random, so that hosts do not retry in step. */
  readonly spread: number;
}

/** Steps of the random share of a delay. */
const SPREAD_STEPS = 1_000;

/**
 * Exponential back-off: the delays between attempts at something that fails. No timer of its own: wait for the delay with a
 * `Clock` ({@link pause} in clock.ts), or compare it with the time.
 */
export class Backoff {
  readonly #policy: BackoffPolicy;
  readonly #random: Random;
  #delayMs: number;

  constructor(policy: BackoffPolicy, random: Random) {
    this.#policy = policy;
    this.#random = random;
    this.#delayMs = policy.firstMs;
  }

  /** An attempt has failed. @returns milliseconds until the next one */
  next(): number {
    const { factor, lastMs, spread } = this.#policy;
    const delay = this.#delayMs;
    this.#delayMs = Math.min(lastMs, delay * factor);
    return spread === 0 ? delay : delay * (1 - spread + (2 * spread * this.#random.below(SPREAD_STEPS)) / SPREAD_STEPS);
  }

  /** An attempt has succeeded: the next failure is a first one. */
  reset(): void {
    this.#delayMs = this.#policy.firstMs;
  }
}
