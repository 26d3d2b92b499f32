import { PathSize } from "#router/carriers/sleeve/path-size.js";
import { PATH_MESSAGE_BYTES } from "#router/datapath/path-message.js";
import { DATAGRAM_HEADER, RECORD_OVERHEAD } from "#router/datapath/record.js";
import { FLOOR_DATAGRAM } from "#router/datapath/session.js";

/** Interval of pings until the first answer (as in Weave Net). */
const CONNECTING_MS = 500;
/** The same after the first ping; it doubles with each. The other end may have opened its session only after that ping arrived. */
const FIRST_CONNECTING_MS = 50;
/** Time without an answer after which a new path is lost: the first frames then take another carrier. */
export const CONNECTING_PATIENCE_MS = 3_000;
/** Time from a proof to the next heartbeat, while frames flow. */
export const BUSY_BEAT_MS = 3_000;
/** Time from a proof to the next heartbeat of an idle path: 18 bytes a second, and well below the 30 s of a NAT's memory. */
export const IDLE_BEAT_MS = 5_000;
/** Extra time that the follower waits for the leader's ping before it sends its own: a round trip, with a margin. */
const FOLLOW_MS = 1_500;
/** Time for the answer to a heartbeat, before pings are repeated. */
const ANSWER_MS = 1_000;
/** Interval of repeated pings, and of repeated pings of full size. */
const AGAIN_MS = 250;
const AGAIN_FULL_MS = 500;
/** Time without an answer (three pings) after which the other end itself is in doubt, and is probed by TCP. */
export const DOUBT_MS = 1_500;
/** Time without a proof after which an established path is lost: some twenty pings, not by chance even at a loss of a third. */
export const LOST_MS = 12_000;
const TWENTY_PINGS_MS = 20 * AGAIN_MS;
/** Interval of pings on a lost path in its first minute. */
const LOST_PING_MS = 2_000;
/** Consecutive answers after which a lost path is established: an unstable path stays lost. */
const RETURN_ANSWERS = 3;
/** Time after which UDP is probably blocked, and interval of pings from then on. */
const BLOCKED_AFTER_MS = 60_000;
export const BLOCKED_MS = 10_000;
/** Unanswered heartbeats of full size, while small ones are answered, after which the size is abandoned. */
const FULL_SIZE_TRIES = 4;
/** Delay of a tick that shows that this process was stopped, and has not read the answers of that time. */
const LATE_MS = 1_000;

/** The smallest ping, in bytes of UDP payload. */
export const SMALL_PING = DATAGRAM_HEADER + RECORD_OVERHEAD + PATH_MESSAGE_BYTES;

export type PathEffect =
  | {
      readonly do: "ping";
      readonly id: number;
      readonly datagramBytes: number;
      readonly before?: "answered" | "unanswered";
    }
  /** Frames may take this path; `since`: the time of the first answer that proves it. */
  | { readonly do: "established"; readonly since: number }
  /** Frames must take another carrier. */
  | { readonly do: "lost"; readonly reason: string }
  /** True: answers are missing, and the other end itself may be gone; false: answers arrive again. */
  | { readonly do: "doubt"; readonly doubtful: boolean }
  /** Datagrams may have so many bytes of UDP payload. */
  | { readonly do: "size"; readonly datagramBytes: number };

export type PathState = "connecting" | "established" | "lost";

/**
 * Determines whether datagrams pass to one peer and back, and how large they may be. Pure: pings and pongs are data.
 *
 *   connecting ──a ping is answered──▶ established ──12 s without a proof──▶ lost
 *        └──3 s──▶ lost                     ◀──three answers in a row─────────┘
 *
 * Frames may flow from the first answer, in datagrams of the floor's size until a larger size is proven (path-size.ts).
 *
 * A proof is an answer to our ping, or a ping of the other end that reports its previous ping as answered: one exchange proves
 * the path to both ends. On an idle path only the leader pings, and the follower answers. While frames flow, proofs are more
 * frequent; while large frames flow, pings have full size.
 */
export class Path {
  readonly #leader: boolean;
  #state: PathState = "connecting";
  #id = 0;
  readonly #size = new PathSize(() => ++this.#id);
  /** The time of the last proof; at first, of the path's start. */
  #provenAt: number;
  /** The time of our last pong that certainly arrived: the other end reports this with its next ping. */
  #pongsArrivedAt: number;
  #pongAt: number;
  #nextBeat: number;
  /** The time of the first heartbeat since the last proof; undefined: none was sent. */
  #pingedAt: number | undefined;
  #doubtful = false;
  #lostAt = 0;
  /** Interval of pings until the first answer. */
  #connectingMs = FIRST_CONNECTING_MS / 2;
  /** Consecutive answers on a lost path, and the time of the first of them. */
  #returned = 0;
  #returningSince = 0;
  /** The last times when frames, and frames in datagrams larger than the floor, were sent. */
  #framesAt = Number.NEGATIVE_INFINITY;
  #largeAt = Number.NEGATIVE_INFINITY;
  /** The time of the last heartbeat of full size. */
  #fullAt = Number.NEGATIVE_INFINITY;
  /** The first unanswered heartbeat of full size, and the number of tries since. */
  #full: { readonly id: number; readonly at: number; tries: number } | undefined;

  /** @param leader true: this end pings while the path is idle */
  constructor(leader: boolean, now: number) {
    this.#leader = leader;
    this.#provenAt = this.#pongsArrivedAt = this.#pongAt = this.#nextBeat = now;
  }

  get state(): PathState {
    return this.#state;
  }

  get datagramBytes(): number {
    return this.#size.datagramBytes;
  }

  /** Why datagrams are not larger; for status. */
  get reason(): string {
    return this.#size.reason;
  }

  /** The time, in milliseconds, at which {@link tick} is due. */
  get wakeAt(): number {
    const times = [this.#nextBeat];
    if (this.#state !== "lost") times.push(this.#provenAt + this.#patience);
    if (this.#state === "established") {
      times.push(this.#size.wakeAt);
      if (this.#pingedAt !== undefined && !this.#doubtful) times.push(this.#pingedAt + DOUBT_MS);
    }
    return Math.min(...times);
  }

  get #patience(): number {
    return this.#state === "connecting" ? CONNECTING_PATIENCE_MS : LOST_MS;
  }

  /** Performs the actions that are due at `now`. */
  tick(now: number): PathEffect[] {
    const late = now - this.wakeAt;
    if (late >= LATE_MS) {
      this.#provenAt += late;
      if (this.#pingedAt !== undefined) this.#pingedAt += late;
    }
    const effects: PathEffect[] = [];
    if (this.#state !== "lost" && now - this.#provenAt >= this.#patience) effects.push(...this.#lose(now));
    if (this.#state === "established" && this.#pingedAt !== undefined && now - this.#pingedAt >= DOUBT_MS)
      effects.push(...this.#doubt(true));
    if (now >= this.#nextBeat) effects.push(...this.#heartbeat(now));
    if (this.#state === "established") effects.push(...this.#search(now));
    return effects;
  }

  /** Records that frames are being sent. Call this at least once a second meanwhile. @param large datagrams exceed the floor */
  frames(large: boolean, now: number): PathEffect[] {
    this.#framesAt = now;
    if (large) this.#largeAt = now;
    if (this.#state !== "established") return [];
    if (large) this.#size.used(now);
    if (this.#pingedAt === undefined) this.#nextBeat = Math.min(this.#nextBeat, this.#beatAfter(this.#provenAt, now));
    return [...(now >= this.#nextBeat ? this.#heartbeat(now) : []), ...this.#search(now)];
  }

  /** Records a ping of the other end, which has been answered: the other end is alive, and its address is known. */
  pinged(before: "answered" | "unanswered" | undefined, now: number): PathEffect[] {
    const pongAt = this.#pongAt;
    this.#pongAt = now;
    if (this.#state !== "established") {
      return this.#nextBeat - now <= this.#connectingMs / 2 ? [] : this.#heartbeat(now);
    }
    if (before === "answered") {
      this.#pongsArrivedAt = Math.max(this.#pongsArrivedAt, pongAt);
      // An unanswered ping that we sent after that pong is newer evidence.
      return this.#pingedAt === undefined || pongAt >= this.#pingedAt ? this.#prove(now) : [];
    }
    if (before === "unanswered") {
      this.#provenAt = Math.min(this.#provenAt, Math.max(this.#pongsArrivedAt, now + TWENTY_PINGS_MS - LOST_MS));
      if (this.#pingedAt === undefined) return this.#heartbeat(now);
    }
    return [];
  }

  /** Records an answer to the ping `id`. @param datagramBytes bytes of the ping, as received by the other end */
  pong(id: number, datagramBytes: number, now: number): PathEffect[] {
    const effects: PathEffect[] = [];
    if (this.#state === "connecting" || this.#returned === 0) this.#returningSince = now;
    const back = this.#state === "lost" && ++this.#returned >= RETURN_ANSWERS;
    if (this.#state === "connecting" || back) {
      this.#state = "established";
      this.#size.seek(now);
      effects.push({ do: "established", since: this.#returningSince });
    } else if (this.#state === "lost") {
      this.#provenAt = now;
      this.#nextBeat = Math.min(this.#nextBeat, now + CONNECTING_MS);
      return [];
    }
    if (this.#full !== undefined && id >= this.#full.id && datagramBytes >= this.#size.datagramBytes)
      this.#full = undefined;
    this.#pongsArrivedAt = now;
    effects.push(...this.#prove(now));
    if (this.#size.answered(id, datagramBytes)) effects.push({ do: "size", datagramBytes });
    effects.push(...this.#search(now));
    return effects;
  }

  /** Sets the largest UDP payload of our own link, and starts a search: from the floor if the current size is larger. */
  limit(ceiling: number, now: number): PathEffect[] {
    if (!this.#size.limit(ceiling, now)) return this.#shrink(now);
    return this.#state === "established" ? this.#search(now) : [];
  }

  /** Records a proof that datagrams pass both ways. */
  #prove(now: number): PathEffect[] {
    this.#provenAt = now;
    this.#pingedAt = undefined;
    if (this.#full === undefined) this.#nextBeat = this.#beatAfter(now, now);
    return this.#doubt(false);
  }

  /** The time of the next heartbeat after a proof. */
  #beatAfter(provenAt: number, now: number): number {
    const interval = provenAt - this.#framesAt < BUSY_BEAT_MS ? BUSY_BEAT_MS : IDLE_BEAT_MS;
    const at = provenAt + interval + (this.#leader ? 0 : FOLLOW_MS);
    // The other end's pings do not prove the size of our datagrams.
    return Math.max(now, this.#largeAt > this.#fullAt ? Math.min(at, this.#fullAt + BUSY_BEAT_MS) : at);
  }

  #doubt(doubtful: boolean): PathEffect[] {
    if (doubtful === this.#doubtful) return [];
    this.#doubtful = doubtful;
    return [{ do: "doubt", doubtful }];
  }

  #heartbeat(now: number): PathEffect[] {
    if (this.#state !== "established") return this.#pingAgain(now);
    const effects: PathEffect[] = [];
    const before = this.#pingedAt === undefined ? "answered" : "unanswered";
    this.#pingedAt ??= now;
    const ping = (datagramBytes: number) =>
      effects.push({ do: "ping", id: ++this.#id, datagramBytes, before } as const);
    if (this.#full !== undefined) {
      if (++this.#full.tries >= FULL_SIZE_TRIES && this.#provenAt > this.#full.at) effects.push(...this.#shrink(now));
    } else if (this.#largeAt > this.#fullAt) this.#full = { id: this.#id + 1, at: now, tries: 0 };
    const again = before === "unanswered" || (this.#full !== undefined && this.#full.tries > 0);
    this.#nextBeat = now + (again ? (this.#full === undefined ? AGAIN_MS : AGAIN_FULL_MS) : ANSWER_MS);
    if (this.#full !== undefined) {
      this.#fullAt = now;
      ping(this.#size.datagramBytes);
    }
    // The small ping distinguishes a lost path from one that has shrunk.
    if (this.#full === undefined || again) ping(SMALL_PING);
    return effects;
  }

  /** Sends the heartbeat of a path that is not established. */
  #pingAgain(now: number): PathEffect[] {
    // The answers must be consecutive: a missing one restarts the count.
    if (this.#state === "lost" && now - this.#provenAt > LOST_PING_MS) this.#returned = 0;
    const often = this.#state === "connecting" || this.#returned > 0;
    const blocked = this.#state === "lost" && now - this.#lostAt >= BLOCKED_AFTER_MS;
    this.#connectingMs = this.#state === "connecting" ? Math.min(CONNECTING_MS, 2 * this.#connectingMs) : CONNECTING_MS;
    this.#nextBeat = now + (often ? this.#connectingMs : blocked ? BLOCKED_MS : LOST_PING_MS);
    const datagramBytes = often ? FLOOR_DATAGRAM : SMALL_PING;
    return [{ do: "ping", id: ++this.#id, datagramBytes }];
  }

  #lose(now: number): PathEffect[] {
    const seconds = this.#patience / 1_000;
    this.#state = "lost";
    this.#lostAt = now;
    this.#returned = 0;
    this.#pingedAt = undefined;
    this.#full = undefined;
    this.#size.forget();
    return [{ do: "lost", reason: `UDP does not pass: no answer for ${seconds} s` }, ...this.#doubt(true)];
  }

  #shrink(now: number): PathEffect[] {
    this.#full = undefined;
    this.#size.forget();
    this.#size.seek(now);
    return [{ do: "size", datagramBytes: FLOOR_DATAGRAM }, ...this.#search(now)];
  }

  #search(now: number): PathEffect[] {
    const probe = this.#size.search(now);
    return probe === undefined ? [] : [{ do: "ping", id: probe.id, datagramBytes: probe.datagramBytes }];
  }
}
