import type { Clock, Timer } from "#src/clock.js";

/** Largest share of the time that a repeated task may run. */
export const MAX_DUTY = 0.1;

/**
 * Runs a task on request: immediately after a pause, and at most once in each interval. A request during an interval runs the
 * task at its end. The interval grows with the duration of the task: at most {@link MAX_DUTY} of the time is spent in it.
 */
export class ThrottledTask {
  readonly #clock: Clock;
  readonly #leastMs: number;
  readonly #run: () => void;
  #cooling: Timer | undefined;
  #wanted = false;

  /** @param leastMs the shortest interval */
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
    const interval = Math.max(this.#leastMs, (this.#clock.now() - began) / MAX_DUTY);
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
