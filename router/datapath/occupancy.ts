import { type ThreadTimes, threadTimes } from "#src/linux/thread-times.js";

/** How much of its time a frame thread had something to do, in milliseconds since its start. Neither value ever falls. */
export interface ThreadLoad {
  /** Time in which it worked, or was woken and waited for a core. Polling for more packets is not part of it, and sleep neither. */
  readonly busyMs: number;
  /** Time in which it was ready to run and had no core, polls that were interrupted included; undefined: this kernel does not count it. */
  readonly waitedMs: number | undefined;
}

/** What a frame thread measures itself, in milliseconds since its start. */
export interface OwnTimes {
  /** From the end of each wait to the begin of the next one. */
  readonly workedMs: number;
  /** Spent polling for more packets, instead of sleeping. */
  readonly polledMs: number;
}

/**
 * Measures the load of the thread that calls it. The thread cannot see the time from the packet that wakes it to its next instruction: the
 * kernel's scheduler counts it. The kernel in turn may leave out interrupts, in which it receives and sends packets for the thread
 * (CONFIG_IRQ_TIME_ACCOUNTING): they are part of the thread's own times. The load is the larger of both, so it is never above the truth. A
 * thread without a pause has all of its time by its own count, and one that hardly gets a core has it by the kernel's.
 *
 * The counts of the kernel are read for a report alone: they cost the frame path nothing.
 */
export class Occupancy {
  readonly #times: () => ThreadTimes | undefined;
  #worked = 0;
  #counted = 0;
  #busy = 0;

  constructor(times: () => ThreadTimes | undefined = threadTimes) {
    this.#times = times;
  }

  read({ workedMs, polledMs }: OwnTimes): ThreadLoad {
    const times = this.#times();
    // Polls of just now are known here before the kernel has added them, and a counter that falls would count as a restart.
    const counted = Math.max(this.#counted, times === undefined ? 0 : times.ranMs + times.waitedMs - polledMs);
    this.#busy += Math.max(workedMs - this.#worked, counted - this.#counted);
    [this.#worked, this.#counted] = [workedMs, counted];
    return { busyMs: this.#busy, waitedMs: times?.waitedMs };
  }
}
