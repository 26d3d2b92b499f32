/** Readings of a thread's CPU time that are older than this are made again, in milliseconds: the most that a handler may be overcharged. */
const FRESH_MS = 5;
/** Elapsed time up to which no other process can have run meanwhile, in milliseconds: a scheduler's shortest slice is longer. */
const UNDISTURBED_MS = 0.5;

/**
 * Measures how much CPU time handlers of messages take. A reading of a thread's CPU time is a system call that updates the scheduler's
 * account, after which a busy machine runs another process: two readings for each message would make each message a chance for that.
 * So the monotonic clock measures what is short, and bounds the rest together with a reading.
 */
export class HandlerTime {
  readonly #now: () => number;
  readonly #cpuTime: () => number;
  #readAt = Number.NEGATIVE_INFINITY;
  #cpuAtRead = 0;

  /** @param now monotonic milliseconds @param cpuTime milliseconds of CPU time of this thread */
  constructor(now: () => number, cpuTime: () => number) {
    this.#now = now;
    this.#cpuTime = cpuTime;
  }

  /** Begins a measurement. @returns the time, for {@link since} */
  begin(): number {
    const now = this.#now();
    if (now - this.#readAt > FRESH_MS) this.#read(now);
    return now;
  }

  /**
   * Returns the CPU time since `began`, in milliseconds: exactly where no other process ran meanwhile, otherwise up to
   * {@link FRESH_MS} more, and never more than the elapsed time.
   */
  since(began: number): number {
    const now = this.#now();
    const elapsed = now - began;
    if (elapsed <= UNDISTURBED_MS) return elapsed;
    const before = this.#cpuAtRead;
    this.#read(now);
    return Math.min(elapsed, this.#cpuAtRead - before);
  }

  #read(now: number): void {
    this.#readAt = now;
    this.#cpuAtRead = this.#cpuTime();
  }
}
