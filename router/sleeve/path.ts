import { FLOOR_DATAGRAM } from "#router/datapath/session.js";

/**
 * Whether datagrams pass to one peer and back, and how large they may be. Pure: pings and pongs go in and out as data.
 *
 *   connecting ──a ping is answered──▶ established ──12 s without an answer──▶ lost
 *        └──3 s──▶ lost                     ◀──three answers in a row──────────┘
 *
 * While it is not established, frames go over the connection's own channel. Sizes are found by our own pings, padded and
 * never fragmented; ICMP is not trusted. Frames flow from the first answer, in datagrams of the floor; the largest size is
 * tried at once, and between what passes and what does not the search halves.
 */

/** As the original: twice a second until the first answer. */
export const CONNECTING_MS = 500;
/** The first frames need not wait for longer than this. */
export const CONNECTING_PATIENCE_MS = 3_000;
/** Each at the full size: what passes now may not pass in a moment. */
export const HEARTBEAT_MS = 3_000;
/** A heartbeat that is not answered by then is asked again, twice a second. */
const ANSWER_MS = 1_000;
/** Some twenty pings without an answer: even a path that loses a third of them does not come to that by chance. */
export const LOST_MS = 12_000;
/** A lost path is asked this often, and is back after so many answers in a row: one that comes and goes stays lost. */
export const RETURN_MS = 2_000;
const RETURN_ANSWERS = 3;
/** Full-size heartbeats without an answer, while small ones are answered, until the size is given up. */
const FULL_SIZE_TRIES = 4;

/** A size is given up when three pings of it, each given longer, are not answered. */
const PROBE_TRIES = 3;
const PROBE_MS = 150;
/** Closer than this is close enough: a few bytes more would not save a datagram. */
const PROBE_STEP = 8;
/** Paths change: what did not pass is tried again after this long (the original re-tests fragmentation as often). */
const RETRY_MS = 5 * 60_000;

export type PathEffect =
  | { readonly do: "ping"; readonly id: number; readonly datagramBytes: number }
  /** Frames may go this way. */
  | { readonly do: "established" }
  /** Frames must go another way. */
  | { readonly do: "lost"; readonly reason: string }
  /** Datagrams may be this large. */
  | { readonly do: "size"; readonly datagramBytes: number };

interface Probe {
  readonly id: number;
  readonly datagramBytes: number;
  tries: number;
  until: number;
}

export type PathState = "connecting" | "established" | "lost";

export class Path {
  #state: PathState = "connecting";
  /** The largest UDP payload that our own link takes; the floor until {@link limit} tells. */
  #ceiling = FLOOR_DATAGRAM;
  /** When a ping was answered last, or the path began. */
  #answered: number;
  #nextBeat: number;
  #id = 0;
  #proven = FLOOR_DATAGRAM;
  /** The smallest size known not to pass, or one more than the ceiling. */
  #refused = FLOOR_DATAGRAM + 1;
  /** Of the last search that came to its end: the smallest size that did not pass. */
  #found: number | undefined;
  #probe: Probe | undefined;
  #searchAt: number;
  /** Full-size heartbeats without an answer, in a row. */
  #unanswered = 0;
  #beat: number | undefined;
  /** When the first of them was sent: answers to small ones since then mean that the size is the trouble. */
  #beatAt = 0;
  /** Answers in a row on a path that was lost. */
  #returned = 0;

  constructor(now: number) {
    this.#answered = now;
    this.#nextBeat = now;
    this.#searchAt = now;
  }

  get state(): PathState {
    return this.#state;
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

  /** Milliseconds at which {@link tick} is due. */
  get wakeAt(): number {
    const times = [this.#nextBeat];
    if (this.#state !== "lost") times.push(this.#answered + this.#patience);
    if (this.#state === "established") times.push(this.#probe?.until ?? this.#searchAt);
    return Math.min(...times);
  }

  get #patience(): number {
    return this.#state === "connecting" ? CONNECTING_PATIENCE_MS : LOST_MS;
  }

  tick(now: number): PathEffect[] {
    const effects: PathEffect[] = [];
    if (this.#state !== "lost" && now - this.#answered >= this.#patience) effects.push(...this.#lose());
    if (now >= this.#nextBeat) effects.push(...this.#heartbeat(now));
    if (this.#state === "established") effects.push(...this.#search(now));
    return effects;
  }

  /** A ping came: the other end is there, and its address is known. Ours need not wait for its turn. */
  pinged(now: number): PathEffect[] {
    if (this.#state === "established" || this.#nextBeat - now <= CONNECTING_MS / 2) return [];
    return this.#heartbeat(now);
  }

  pong(id: number, datagramBytes: number, now: number): PathEffect[] {
    this.#answered = now;
    const effects: PathEffect[] = [];
    if (this.#state === "connecting" || (this.#state === "lost" && ++this.#returned >= RETURN_ANSWERS)) {
      this.#state = "established";
      this.#nextBeat = now + HEARTBEAT_MS;
      this.#searchAt = now;
      effects.push({ do: "established" });
    } else if (this.#state === "lost") {
      this.#nextBeat = Math.min(this.#nextBeat, now + CONNECTING_MS);
      return [];
    }
    if (id === this.#beat) {
      this.#beat = undefined;
      this.#unanswered = 0;
      this.#nextBeat = now + HEARTBEAT_MS;
    }
    if (this.#probe?.id === id && this.#probe.datagramBytes === datagramBytes) {
      this.#probe = undefined;
      this.#proven = datagramBytes;
      effects.push({ do: "size", datagramBytes }, ...this.#search(now));
    } else if (effects.length > 0) effects.push(...this.#search(now));
    return effects;
  }

  /** What our own link takes is now known, or has changed: a new search, from the floor if the size in use is too large. */
  limit(ceiling: number, now: number): PathEffect[] {
    this.#ceiling = Math.max(FLOOR_DATAGRAM, ceiling);
    if (this.#proven > this.#ceiling) return this.#shrink(now);
    this.#refused = this.#ceiling + 1;
    this.#searchAt = now;
    return this.#state === "established" ? this.#search(now) : [];
  }

  #heartbeat(now: number): PathEffect[] {
    const id = ++this.#id;
    if (this.#state !== "established") {
      // The answers must follow one another: one that is missing begins the count again.
      if (this.#state === "lost" && now - this.#answered > RETURN_MS) this.#returned = 0;
      this.#nextBeat = now + (this.#state === "connecting" || this.#returned > 0 ? CONNECTING_MS : RETURN_MS);
      return [{ do: "ping", id, datagramBytes: FLOOR_DATAGRAM }];
    }
    const effects: PathEffect[] = [];
    if (this.#beat === undefined) this.#beatAt = now;
    else if (++this.#unanswered >= FULL_SIZE_TRIES && this.#answered > this.#beatAt) effects.push(...this.#shrink(now));
    this.#beat = id;
    this.#nextBeat = now + (this.#unanswered > 0 ? CONNECTING_MS : ANSWER_MS);
    effects.push({ do: "ping", id, datagramBytes: this.#proven });
    // A full one that is lost must not look like a lost path.
    if (this.#unanswered > 0) effects.push({ do: "ping", id: ++this.#id, datagramBytes: FLOOR_DATAGRAM });
    return effects;
  }

  #lose(): PathEffect[] {
    const seconds = this.#patience / 1_000;
    this.#state = "lost";
    this.#returned = 0;
    this.#forgetSize();
    return [{ do: "lost", reason: `UDP does not pass: no answer for ${seconds} s` }];
  }

  #shrink(now: number): PathEffect[] {
    this.#forgetSize();
    this.#searchAt = now;
    return [{ do: "size", datagramBytes: FLOOR_DATAGRAM }, ...this.#search(now)];
  }

  #forgetSize(): void {
    this.#unanswered = 0;
    this.#beat = undefined;
    this.#probe = undefined;
    this.#found = undefined;
    this.#proven = FLOOR_DATAGRAM;
    this.#refused = this.#ceiling + 1;
  }

  #search(now: number): PathEffect[] {
    if (this.#probe !== undefined) {
      if (now < this.#probe.until) return [];
      if (++this.#probe.tries < PROBE_TRIES) {
        this.#probe.until = now + PROBE_MS * 2 ** this.#probe.tries;
        return [{ do: "ping", id: this.#probe.id, datagramBytes: this.#probe.datagramBytes }];
      }
      this.#refused = this.#probe.datagramBytes;
      this.#probe = undefined;
    }
    if (now < this.#searchAt) return [];
    if (this.#proven >= this.#ceiling || this.#refused - this.#proven <= PROBE_STEP) {
      // Found. Later the whole of it is tried again.
      this.#searchAt = now + RETRY_MS;
      this.#found = this.#refused;
      this.#refused = this.#ceiling + 1;
      return [];
    }
    const whole = this.#refused > this.#ceiling;
    const datagramBytes = whole ? this.#ceiling : Math.floor((this.#proven + this.#refused) / 2);
    this.#probe = { id: ++this.#id, datagramBytes, tries: 0, until: now + PROBE_MS };
    return [{ do: "ping", id: this.#probe.id, datagramBytes }];
  }
}
