import type { Random } from "#src/random.js";

/** How the delay between attempts grows. */
export interface BackoffPolicy {
  /** Milliseconds before the second attempt. */
  readonly firstMs: number;
  /** Each delay is this many times the one before. */
  readonly factor: number;
  /** Upper limit of the delay, before the spread is applied. */
  readonly lastMs: number;
  /** From 0 to 1: each delay is changed at random by up to this share, so that hosts do not retry at the same time. */
  readonly spread: number;
}

/** Resolution of the random part of a delay. */
const SPREAD_STEPS = 1_000;

/**
 * Exponential back-off: computes the delays between attempts at a failing operation. It has no timer: the caller waits, with
 * `pause` of clock.ts for example.
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

  /** Records a failed attempt. @returns milliseconds until the next attempt */
  next(): number {
    const { factor, lastMs, spread } = this.#policy;
    const delay = this.#delayMs;
    this.#delayMs = Math.min(lastMs, delay * factor);
    return spread === 0 ? delay : delay * (1 - spread + (2 * spread * this.#random.below(SPREAD_STEPS)) / SPREAD_STEPS);
  }

  /** Records a successful attempt: the next delay is the first one again. */
  reset(): void {
    this.#delayMs = this.#policy.firstMs;
  }
}
