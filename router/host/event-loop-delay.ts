import type { HistogramValue } from "#router/service.js";

/** Interval of the samples: four a second cost an idle router nothing that can be measured. */
const EVERY_MS = 250;
/** Upper bounds of the buckets, in seconds. A timer has a resolution of 1 ms: less is no delay. */
const BOUNDS_S: readonly number[] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/**
 * Measures how late the event loop is, by a timer: everything that the router does outside of the frame threads waits as long. It starts
 * with the first reading, as most routers are never scraped.
 */
export class EventLoopDelay {
  readonly #counts = BOUNDS_S.map(() => 0);
  #sum = 0;
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  read(): HistogramValue {
    if (this.#timer === undefined) this.#start();
    const buckets = BOUNDS_S.map((atMost, index) => ({ atMost, count: this.#counts[index] }));
    return { buckets, sum: this.#sum, count: this.#count };
  }

  /** @param seconds by which the timer was late */
  add(seconds: number): void {
    const late = Math.max(0, seconds);
    this.#sum += late;
    this.#count++;
    for (const [index, bound] of BOUNDS_S.entries()) if (late <= bound) this.#counts[index]++;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #start(): void {
    const due = performance.now() + EVERY_MS;
    this.#timer = setTimeout(() => {
      this.add((performance.now() - due) / 1_000);
      this.#start();
    }, EVERY_MS).unref();
  }
}
