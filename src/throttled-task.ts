import type { Clock, Timer } from "#src/clock.js";

/**
 * A task that runs at once when it is requested after a pause, and at most once in an interval when it is requested often; the
 * last request is never lost. The interval grows with the duration of the task, which takes at most a tenth of the time.
 */
export class ThrottledTask {
  readonly #clock: Clock;
  readonly #leastMs: number;
  readonly #run: () => void;
  #cooling: Timer | undefined;
  #wanted = false;

  constructor(clock: Clock, leastMs: number, run: () => void) {
    this.#clock = clock;
    this.#leastMs = leastMs;
    this.#run = run;
  }

  request(): void {
    if (this.#cooling !== undefined) {
      this.#wanted = true;
      return;
    }
    const began = this.#clock.now();
    this.#wanted = false;
    this.#run();
    const interval = Math.max(this.#leastMs, 10 * (this.#clock.now() - began));
    this.#cooling = this.#clock.after(interval, () => {
      this.#cooling = undefined;
      if (this.#wanted) this.request();
    });
  }

  cancel(): void {
    this.#cooling?.cancel();
    this.#cooling = undefined;
    this.#wanted = false;
  }
}
