/** A queue that has not been empty for so long is a standing one: it delays all that goes through it, and helps nobody. */
const INTERVAL_MS = 20;
/** A queue that stands again within so many intervals is met with nearly the rate of drops that emptied it before. */
const MEMORY_INTERVALS = 16;

/**
 * Tells when a queue in front of us should lose something, so that TCP slows down before its window fills the queue and
 * delays everybody else's packets. The law is CoDel's (RFC 8289): drops that come faster, with the root of their count,
 * until the queue has been empty once. CoDel looks at the time that packets have waited; the kernel's queues do not tell
 * that, but whether they are empty, which is the same question with a target of zero.
 */
export class Backlog {
  #emptyAt = 0;
  #dropAt = 0;
  #drops = 0;
  /** It has not been empty since the last drop. */
  #dropping = false;

  /** There was nothing to read at time `now`, in milliseconds. */
  empty(now: number): void {
    this.#emptyAt = now;
    this.#dropping = false;
  }

  /** Whether what has just been read should be dropped: only to be asked of what makes its sender slow down. */
  excess(now: number): boolean {
    if (now - this.#emptyAt < INTERVAL_MS || (this.#dropping && now < this.#dropAt)) return false;
    if (!this.#dropping) {
      const lately = now - this.#dropAt < MEMORY_INTERVALS * INTERVAL_MS;
      this.#drops = lately ? Math.max(0, this.#drops - 2) : 0;
      this.#dropping = true;
    }
    this.#drops++;
    this.#dropAt = now + INTERVAL_MS / Math.sqrt(this.#drops);
    return true;
  }
}
