import { FLOOR_DATAGRAM } from "#router/datapath/session.js";

/**
 * Whether datagrams pass to one peer and back, and how large they may be. Pure: pings and pongs go in and out as data.
 *
 *   connecting ──a ping is answered──▶ established ──60 s of silence──▶ dead (final)
 *        └─────────────────60 s─────────────────────────────────────────▶ dead
 *
 * Sizes are found by our own pings, padded and never fragmented; ICMP is not trusted. Frames flow from the first answer,
 * in datagrams of the floor; the largest size is tried at once, and between what passes and what does not the search halves.
 */

/** As the original: twice a second until the first answer, then every ten seconds. */
export const CONNECTING_MS = 500;
export const HEARTBEAT_MS = 10_000;
export const DEAD_MS = 60_000;

/** A size is given up when three pings of it, each given longer, are not answered. */
const PROBE_TRIES = 3;
const PROBE_MS = 150;
/** Closer than this is close enough: a few bytes more would not save a datagram. */
const PROBE_STEP = 8;
/** Paths change: what did not pass is tried again after this long (the original re-tests fragmentation as often). */
const RETRY_MS = 5 * 60_000;

export type PathEffect =
  | { readonly do: "ping"; readonly id: number; readonly datagramBytes: number }
  | { readonly do: "established" }
  /** Datagrams may be this large. */
  | { readonly do: "size"; readonly datagramBytes: number }
  | { readonly do: "dead"; readonly reason: string };

interface Probe {
  readonly id: number;
  readonly datagramBytes: number;
  tries: number;
  until: number;
}

export type PathState = "connecting" | "established" | "dead";

export class Path {
  #state: PathState = "connecting";
  /** The largest UDP payload that our own link takes; the floor until {@link limit} tells. */
  #ceiling = FLOOR_DATAGRAM;
  #heard: number;
  #nextBeat: number;
  #id = 0;
  #proven = FLOOR_DATAGRAM;
  /** The smallest size known not to pass, or one more than the ceiling. */
  #refused = FLOOR_DATAGRAM + 1;
  #probe: Probe | undefined;
  #searchAt: number;
  /** Full-size heartbeats without an answer, in a row. */
  #unanswered = 0;
  #beat: number | undefined;

  constructor(now: number) {
    this.#heard = now;
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
    return this.#probe !== undefined || this.#refused - this.#proven > PROBE_STEP
      ? "being probed"
      : `datagrams of ${this.#refused} bytes do not pass`;
  }

  /** Milliseconds at which {@link tick} is due. */
  get wakeAt(): number {
    const times = [this.#nextBeat, this.#heard + DEAD_MS];
    if (this.#state === "established") times.push(this.#probe?.until ?? this.#searchAt);
    return Math.min(...times);
  }

  tick(now: number): PathEffect[] {
    if (this.#state === "dead") return [];
    if (now - this.#heard >= DEAD_MS) {
      this.#state = "dead";
      return [{ do: "dead", reason: "timed out waiting for UDP heartbeat" }];
    }
    const effects: PathEffect[] = [];
    if (now >= this.#nextBeat) effects.push(...this.#heartbeat(now));
    if (this.#state === "established") effects.push(...this.#search(now));
    return effects;
  }

  /** A ping came: the other end is there, and its address is known. Ours need not wait for its turn. */
  pinged(now: number): PathEffect[] {
    this.#heard = now;
    return this.#state === "connecting" ? this.#heartbeat(now) : [];
  }

  pong(id: number, datagramBytes: number, now: number): PathEffect[] {
    if (this.#state === "dead") return [];
    this.#heard = now;
    const effects: PathEffect[] = [];
    if (this.#state === "connecting") {
      this.#state = "established";
      this.#nextBeat = now + HEARTBEAT_MS;
      effects.push({ do: "established" });
    }
    if (id === this.#beat) {
      this.#beat = undefined;
      this.#unanswered = 0;
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
    if (this.#state === "connecting") {
      this.#nextBeat = now + CONNECTING_MS;
      return [{ do: "ping", id, datagramBytes: FLOOR_DATAGRAM }];
    }
    this.#nextBeat = now + HEARTBEAT_MS;
    const effects: PathEffect[] = [];
    if (this.#beat !== undefined && ++this.#unanswered >= PROBE_TRIES) effects.push(...this.#shrink(now));
    this.#beat = id;
    effects.push({ do: "ping", id, datagramBytes: this.#proven });
    // A full one that is lost must not look like a dead path.
    if (this.#unanswered > 0) effects.push({ do: "ping", id: ++this.#id, datagramBytes: FLOOR_DATAGRAM });
    return effects;
  }

  #shrink(now: number): PathEffect[] {
    this.#unanswered = 0;
    this.#beat = undefined;
    this.#probe = undefined;
    this.#proven = FLOOR_DATAGRAM;
    this.#refused = this.#ceiling + 1;
    this.#searchAt = now;
    return [{ do: "size", datagramBytes: FLOOR_DATAGRAM }, ...this.#search(now)];
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
      this.#refused = this.#ceiling + 1;
      return [];
    }
    const whole = this.#refused > this.#ceiling;
    const datagramBytes = whole ? this.#ceiling : Math.floor((this.#proven + this.#refused) / 2);
    this.#probe = { id: ++this.#id, datagramBytes, tries: 0, until: now + PROBE_MS };
    return [{ do: "ping", id: this.#probe.id, datagramBytes }];
  }
}
