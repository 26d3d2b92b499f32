import { FLOOR_DATAGRAM } from "#router/datapath/session.js";

/** Number of unanswered pings after which a size is rejected. */
const PROBE_TRIES = 3;
/** Time for the answer to the first ping of a size. It doubles with each further ping. */
const PROBE_MS = 150;
/** Interval, in bytes, at which the search ends: a few more bytes save no datagram. */
const PROBE_STEP = 8;
/** Time after which a rejected size is tried again, if traffic needs it: paths change. As in Weave Net. */
const RETRY_MS = 5 * 60_000;

export interface SizeProbe {
  readonly id: number;
  readonly datagramBytes: number;
}

interface Probe extends SizeProbe {
  tries: number;
  until: number;
}

/**
 * Finds the largest datagrams that pass to one peer. The probes are our own pings, padded and never fragmented; ICMP is not
 * trusted. The search tries the largest size first, and then halves the interval between the largest size that passes and the
 * smallest that does not. Pure.
 */
export class PathSize {
  readonly #nextId: () => number;
  /** The largest UDP payload that our own link takes; the floor until it is known. */
  #ceiling = FLOOR_DATAGRAM;
  #proven = FLOOR_DATAGRAM;
  /** The smallest size known not to pass, or one more than the ceiling. */
  #refused = FLOOR_DATAGRAM + 1;
  /** The smallest size that did not pass in the last completed search. */
  #found: number | undefined;
  #probe: Probe | undefined;
  /** The time of the next search; Infinity: none is due. */
  #searchAt = Number.POSITIVE_INFINITY;
  /** The time from which traffic causes another search. */
  #retryAt = Number.POSITIVE_INFINITY;

  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  get datagramBytes(): number {
    return this.#proven;
  }

  /** Why datagrams are not larger; for status. */
  get reason(): string {
    if (this.#proven >= this.#ceiling) return "the size of our own link";
    return this.#probe !== undefined || this.#found === undefined
      ? "being probed"
      : `datagrams of ${this.#found} bytes do not pass`;
  }

  get wakeAt(): number {
    return this.#probe?.until ?? this.#searchAt;
  }

  /** Schedules a search for now. */
  seek(now: number): void {
    this.#searchAt = now;
  }

  /** Records that datagrams larger than the floor are being sent: traffic would use a larger size. */
  used(now: number): void {
    if (now < this.#retryAt) return;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.#searchAt = now;
  }

  /** Sets the largest UDP payload of our own link. Returns false when the size in use is larger. */
  limit(ceiling: number, now: number): boolean {
    this.#ceiling = Math.max(FLOOR_DATAGRAM, ceiling);
    if (this.#proven > this.#ceiling) return false;
    this.#refused = this.#ceiling + 1;
    this.#found = this.#probe = undefined;
    this.#searchAt = now;
    return true;
  }

  /** Resets the size to the floor, and discards all results. */
  forget(): void {
    this.#probe = undefined;
    this.#found = undefined;
    this.#proven = FLOOR_DATAGRAM;
    this.#refused = this.#ceiling + 1;
    this.#searchAt = this.#retryAt = Number.POSITIVE_INFINITY;
  }

  /** Records an answer. True: {@link datagramBytes} has grown. */
  answered(id: number, datagramBytes: number): boolean {
    if (this.#probe?.id !== id || this.#probe.datagramBytes !== datagramBytes) return false;
    this.#probe = undefined;
    this.#proven = datagramBytes;
    this.#searchAt = 0;
    return true;
  }

  /** The next ping of the search; undefined: none is due. */
  search(now: number): SizeProbe | undefined {
    if (this.#probe !== undefined) {
      if (now < this.#probe.until) return undefined;
      if (++this.#probe.tries < PROBE_TRIES) {
        this.#probe.until = now + PROBE_MS * 2 ** this.#probe.tries;
        return this.#probe;
      }
      this.#refused = this.#probe.datagramBytes;
      this.#probe = undefined;
      this.#searchAt = now;
    }
    if (now < this.#searchAt) return undefined;
    this.#searchAt = Number.POSITIVE_INFINITY;
    if (this.#proven >= this.#ceiling || this.#refused - this.#proven <= PROBE_STEP) {
      // The search is complete. A later search tries the ceiling again.
      if (this.#proven < this.#ceiling) this.#retryAt = now + RETRY_MS;
      this.#found = this.#refused;
      this.#refused = this.#ceiling + 1;
      return undefined;
    }
    const first = this.#refused > this.#ceiling;
    const datagramBytes = first ? this.#ceiling : Math.floor((this.#proven + this.#refused) / 2);
    this.#probe = { id: this.#nextId(), datagramBytes, tries: 0, until: now + PROBE_MS };
    return this.#probe;
  }
}
