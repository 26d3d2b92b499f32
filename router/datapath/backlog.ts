/**
 * A queue that has not been empty for this time is a standing queue: it adds delay without benefit. Longer than the round-trip
 * time of most paths. Measured: 20 ms costs a fifth of one stream's throughput with small packets, 50 ms costs little, and
 * 100 ms doubles the delay of pings.
 */
export const INTERVAL_MS = 50;
/** If a queue stands again within this many intervals, drops restart at the rate that emptied it. */
const MEMORY_INTERVALS = 16;
/** Limit of the drop count, that is one drop in 1.6 ms: flows that slow down must not suffer for one that does not. */
const MAX_DROPS = 1_024;

/**
 * Decides when a packet read from a kernel queue is dropped: TCP must slow down before its windows fill the queue and delay
 * all other packets. Uses the control law of CoDel (RFC 8289 section 5): the drop rate grows with the square root of the
 * number of drops, until the queue is empty. CoDel measures the delay of packets. The kernel's queues do not report it, only
 * whether they are empty; this is CoDel with a target of zero.
 */
export class Backlog {
  #emptyAt = 0;
  #dropAt = 0;
  #drops = 0;
  /** `#drops` when the queue began to stand. */
  #before = 0;
  #standing = false;

  /** Records that the queue was empty at time `now`, in milliseconds. */
  empty(now: number): void {
    this.#emptyAt = now;
    this.#standing = false;
  }

  /**
   * Whether to drop the packet just read. Call this for every packet, droppable or not: each flow is then sampled in
   * proportion to its share of the queue.
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
