import type { Clock, Timer } from "#src/clock.js";
import { MAX_DUTY } from "#src/throttled-task.js";

/**
 * Runs a task a short time after a request, so that requests that come together run it once, and not more often than once in an
 * interval. A slow task takes at most {@link MAX_DUTY} of the time.
 */
export class PacedTask {
  readonly #clock: Clock;
  readonly #settleMs: number;
  readonly #intervalMs: () => number;
  readonly #run: () => void;
  #timer: Timer | undefined;
  #ranAt = Number.NEGATIVE_INFINITY;

  /**
   * @param settleMs the delay of a run after its first request
   * @param intervalMs returns the shortest time between two runs; it is asked at each request
   */
  constructor(clock: Clock, settleMs: number, intervalMs: () => number, run: () => void) {
    this.#clock = clock;
    this.#settleMs = settleMs;
    this.#intervalMs = intervalMs;
    this.#run = run;
  }

  request(): void {
    if (this.#timer !== undefined) return;
    const wait = Math.max(this.#settleMs, this.#ranAt + this.#intervalMs() - this.#clock.now());
    this.#timer = this.#clock.after(wait, () => {
      this.#timer = undefined;
      const began = this.#clock.now();
      this.#run();
      const ended = this.#clock.now();
      this.#ranAt = ended + (1 / MAX_DUTY - 1) * (ended - began);
    });
  }

  /** Cancels a requested run. */
  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
