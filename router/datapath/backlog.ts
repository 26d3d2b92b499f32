/**
 * A queue that has not been empty for so long is a standing one: it delays all that goes through it, and helps nobody. Longer
 * than the round trips of most paths. Measured: 20 takes a fifth of one stream's throughput where packets are small, 50
 * takes little, and 100 leaves pings waiting twice as long.
 */
export const INTERVAL_MS = 50;
/** A queue that stands again within so many intervals is met with the rate that emptied it. */
const MEMORY_INTERVALS = 16;
/** The rate grows up to that of so many drops, one in 1.6 ms: those who do not slow down must not take others with them. */
const MOST_DROPS = 1_024;

/**
 * Tells when a queue in front of us should lose something, so that TCP slows down before its windows fill the queue and
 * delay everybody else's packets. The law is CoDel's (RFC 8289 section 5): drops that come faster, with the root of their
 * count, until the queue has been empty once. CoDel looks at the time that packets have waited; the kernel's queues do not
 * tell that, but whether they are empty, which is the same question with a target of zero.
 */
export class Backlog {
  #emptyAt = 0;
  #dropAt = 0;
  #drops = 0;
  /** The count when it began to stand. */
  #before = 0;
  #standing = false;

  /** There was nothing to read at time `now`, in milliseconds. */
  empty(now: number): void {
    this.#emptyAt = now;
    this.#standing = false;
  }

  /**
   * Whether it is time to drop what has just been read. To be asked of everything: it is as likely as its share of the
   * queue to be met, even if only some is then really dropped.
   */
  excess(now: number): boolean {
    if (now - this.#emptyAt < INTERVAL_MS || (this.#standing && now < this.#dropAt)) return false;
    if (!this.#standing) {
      const last = this.#drops - this.#before;
      const lately = now - this.#dropAt < MEMORY_INTERVALS * INTERVAL_MS;
      this.#before = this.#drops = lately && last > 1 ? last - 1 : 0;
      this.#standing = true;
    }
    this.#drops = Math.min(this.#drops + 1, MOST_DROPS);
    this.#dropAt = now + INTERVAL_MS / Math.sqrt(this.#drops);
    return true;
  }
}
