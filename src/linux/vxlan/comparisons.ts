import type { Clock, Timer } from "#src/clock.js";

/** Shortest interval between the end of a comparison and the next. */
export const LEAST_MS = 1_000;
/** Longest one: a container that invents MACs without end has all be listed once in this time. */
export const MOST_MS = 30_000;

/**
 * What a comparison has found: "compared"; or "absent", that there is nothing to compare with, which costs little. One that rejects is
 * repeated.
 */
export type Comparison = "compared" | "absent";

/**
 * Comparisons with a list of the kernel, on request: the first at once, and then with intervals, which double for as long as requests
 * follow. Any number of requests meanwhile is one.
 */
export class Comparisons {
  readonly #clock: Clock;
  readonly #compare: () => Promise<Comparison>;
  #state: "idle" | "running" | "resting" | "closed" = "idle";
  /** Whether there were requests since the last comparison began. */
  #wanted = false;
  #intervalMs = LEAST_MS;
  #endedAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  /** @param compare not called while an earlier call runs */
  constructor(clock: Clock, compare: () => Promise<Comparison>) {
    this.#clock = clock;
    this.#compare = compare;
  }

  request(): void {
    if (this.#state === "idle") void this.#run();
    else this.#wanted = true;
  }

  close(): void {
    this.#state = "closed";
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    this.#state = "running";
    this.#wanted = false;
    const wasQuiet = this.#clock.now() - this.#endedAt >= 2 * this.#intervalMs;
    this.#intervalMs = wasQuiet ? LEAST_MS : Math.min(MOST_MS, 2 * this.#intervalMs);
    const found = await this.#compare().catch(() => "failed" as const);
    if (this.#isClosed()) return;
    if (found !== "compared") this.#wanted = true;
    if (found === "absent") this.#intervalMs = LEAST_MS;
    this.#endedAt = this.#clock.now();
    this.#state = "resting";
    this.#timer = this.#clock.after(this.#intervalMs, () => {
      this.#state = "idle";
      if (this.#wanted) void this.#run();
    });
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }
}
