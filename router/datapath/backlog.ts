/**
 * A queue that has not been empty for this long is a standing queue: it delays everything in it, to no benefit. Longer than
 * the round trips of most paths. Measured: 20 takes a fifth of one stream's throughput where packets are small, 50 takes
 * little, and 100 leaves pings waiting twice as long.
 */
export const INTERVAL_MS = 50;
/** A queue that stands again within this many intervals starts with the drop rate that emptied it. */
const MEMORY_INTERVALS = 16;
/** The rate grows up to one drop in 1.6 ms: flows that slow down must not suffer for one that does not. */
const MAX_DROPS = 1_024;

/**
 * Decides when packets of a queue in front of us are dropped, so that TCP slows down before its windows fill the queue and
 * delay all other packets. The law is CoDel's (RFC 8289 section 5): drops whose rate grows with the root of their count,
 * until the queue has been empty once. CoDel measures how long packets have waited; the kernel's queues do not report that,
 * but whether they are empty, which is CoDel with a target of zero.
 */
export class Backlog {
  #emptyAt = 0;
  #dropAt = 0;
  #drops = 0;
  /** `#drops` when the queue began to stand. */
  #before = 0;
  #standing = false;

  /** The queue was empty at time `now`, in milliseconds. */
  empty(now: number): void {
    this.#emptyAt = now;
    this.#standing = false;
  }

  /**
   * Whether the packet just read should be dropped. Call it for every packet, droppable or not, so that each flow is sampled
   * in proportion to its share of the queue.
   */
  shouldDrop(now: number): boolean {
    if (now - this.#emptyAt < INTERVAL_MS || (this.#standing && now < this.#dropAt)) return false;
    if (!this.#standing) {
      const last = this.#drops - this.#before;
      const lately = now - this.#dropAt < MEMORY_INTERVALS * INTERVAL_MS;
      this.#before = this.#drops = lately && last > 1 ? last - 1 : 0;
      this.#standing = true;
    }
    this.#drops = Math.min(this.#drops + 1, MAX_DROPS);
    this.#dropAt = now + INTERVAL_MS / Math.sqrt(this.#drops);
    return true;
  }
}
