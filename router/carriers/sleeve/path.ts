import { PathSize } from "#router/carriers/sleeve/path-size.js";
import { PATH_MESSAGE_BYTES } from "#router/datapath/control.js";
import { DATAGRAM_HEADER, RECORD_OVERHEAD } from "#router/datapath/record.js";
import { FLOOR_DATAGRAM } from "#router/datapath/session.js";

/**
 * Whether datagrams pass to one peer and back, and how large they may be. Pure: pings and pongs are data.
 *
 *   connecting ──a ping is answered──▶ established ──12 s without a proof──▶ lost
 *        └──3 s──▶ lost                     ◀──three answers in a row─────────┘
 *
 * Frames may flow from the first answer, in datagrams of the floor's size until a larger one is proven (path-size.ts).
 *
 * A proof is an answer to a ping of ours, or a ping of the other end that reports its predecessor as answered: one exchange
 * proves the path to both ends. So on an idle path only the leader pings, and the follower answers. While frames flow,
 * proofs are more frequent; while large frames do, pings are as large.
 */

/** Between pings until the first answer (as in Weave Net). */
export const CONNECTING_MS = 500;
/** The first frames wait no longer than this. */
export const CONNECTING_PATIENCE_MS = 3_000;
/** Between proofs, while frames flow. */
export const BUSY_BEAT_MS = 3_000;
/** While none flow: 18 bytes a second, and often enough for a NAT, which forgets after 30 s. */
export const IDLE_BEAT_MS = 5_000;
/** The follower waits this much longer for the leader's ping before it sends its own: a round trip, with a margin. */
const FOLLOW_MS = 1_500;
/** After this an unanswered heartbeat is repeated: a small one four times a second, with one of full size twice. */
const ANSWER_MS = 1_000;
const AGAIN_MS = 250;
const AGAIN_FULL_MS = 500;
/** After a heartbeat without an answer for so long (four pings) the other end itself is in doubt, and is probed by TCP. */
export const DOUBT_MS = 1_500;
/** Some twenty pings without an answer: not by chance, even on a path that loses a third of them. */
export const LOST_MS = 12_000;
const TWENTY_PINGS_MS = 20 * AGAIN_MS;
/** A lost path is probed this often at first. It is back after so many answers in a row: one that comes and goes stays lost. */
export const RETURN_MS = 2_000;
const RETURN_ANSWERS = 3;
/** After a minute UDP is probably blocked: it is probed less often. */
const BLOCKED_AFTER_MS = 60_000;
export const BLOCKED_MS = 10_000;
/** Heartbeats of full size without an answer, while small ones are answered, before the size is abandoned. */
const FULL_SIZE_TRIES = 4;
/** A tick that is later than this: this process was stopped, and has not read the answers of that time. */
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
  /** Frames may take this path; `since`: the first of the answers that prove it. */
  | { readonly do: "established"; readonly since: number }
  /** Frames must take another carrier. */
  | { readonly do: "lost"; readonly reason: string }
  /** Answers are missing, so that the other end itself may be gone (true); or they arrive again (false). */
  | { readonly do: "doubt"; readonly doubtful: boolean }
  /** Datagrams may be this large. */
  | { readonly do: "size"; readonly datagramBytes: number };

export type PathState = "connecting" | "established" | "lost";

export class Path {
  readonly #leader: boolean;
  #state: PathState = "connecting";
  #id = 0;
  readonly #size = new PathSize(() => ++this.#id);
  /** When the last proof came, or the path began. */
  #provenAt: number;
  /** The time up to which our pongs certainly arrived: the other end reports it one heartbeat later. */
  #pongsArrivedAt: number;
  #pongAt: number;
  #nextBeat: number;
  /** When the first heartbeat since the last proof was sent; undefined: none was. */
  #pingedAt: number | undefined;
  #doubtful = false;
  #lostAt = 0;
  /** Answers in a row on a path that was lost, and when the first of them came. */
  #returned = 0;
  #returningSince = 0;
  /** When frames were last sent, and when frames that need datagrams above the floor. */
  #framesAt = Number.NEGATIVE_INFINITY;
  #largeAt = Number.NEGATIVE_INFINITY;
  /** When a heartbeat of full size was last sent. */
  #fullAt = Number.NEGATIVE_INFINITY;
  /** The first unanswered heartbeat of full size, and the count of them. */
  #full: { readonly id: number; readonly at: number; tries: number } | undefined;

  /** @param leader whether this end is the one that pings while the path is idle */
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

  /** Milliseconds at which {@link tick} is due. */
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

  /** Frames are being sent; to be called once a second or more often while they are. @param large above the floor */
  frames(large: boolean, now: number): PathEffect[] {
    this.#framesAt = now;
    if (large) this.#largeAt = now;
    if (this.#state !== "established") return [];
    if (large) this.#size.used(now);
    if (this.#pingedAt === undefined) this.#nextBeat = Math.min(this.#nextBeat, this.#beatAfter(this.#provenAt, now));
    return [...(now >= this.#nextBeat ? this.#heartbeat(now) : []), ...this.#search(now)];
  }

  /** A ping arrived, and was answered: the other end is there, and its address is known. Our ping need not wait. */
  pinged(before: "answered" | "unanswered" | undefined, now: number): PathEffect[] {
    const pongAt = this.#pongAt;
    this.#pongAt = now;
    if (this.#state !== "established") {
      return this.#nextBeat - now <= CONNECTING_MS / 2 ? [] : this.#heartbeat(now);
    }
    if (before === "answered") {
      this.#pongsArrivedAt = Math.max(this.#pongsArrivedAt, pongAt);
      // Pings of ours that were sent after that pong, and are unanswered, are newer evidence.
      return this.#pingedAt === undefined || pongAt >= this.#pingedAt ? this.#prove(now) : [];
    }
    if (before === "unanswered") {
      this.#provenAt = Math.min(this.#provenAt, Math.max(this.#pongsArrivedAt, now + TWENTY_PINGS_MS - LOST_MS));
      if (this.#pingedAt === undefined) return this.#heartbeat(now);
    }
    return [];
  }

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

  /** Sets the largest UDP payload of our own link, and starts a search: from the floor if the size in use is larger. */
  limit(ceiling: number, now: number): PathEffect[] {
    if (!this.#size.limit(ceiling, now)) return this.#shrink(now);
    return this.#state === "established" ? this.#search(now) : [];
  }

  /** Datagrams pass both ways. */
  #prove(now: number): PathEffect[] {
    this.#provenAt = now;
    this.#pingedAt = undefined;
    if (this.#full === undefined) this.#nextBeat = this.#beatAfter(now, now);
    return this.#doubt(false);
  }

  /** When the next heartbeat is due after a proof. */
  #beatAfter(provenAt: number, now: number): number {
    const interval = provenAt - this.#framesAt < BUSY_BEAT_MS ? BUSY_BEAT_MS : IDLE_BEAT_MS;
    const at = provenAt + interval + (this.#leader ? 0 : FOLLOW_MS);
    // The other end's pings prove nothing about the size of ours.
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
    // A lost ping of full size must not look like a lost path.
    if (this.#full === undefined || again) ping(SMALL_PING);
    return effects;
  }

  /** A heartbeat of a path that is not established. */
  #pingAgain(now: number): PathEffect[] {
    // The answers must be consecutive: a missing one restarts the count.
    if (this.#state === "lost" && now - this.#provenAt > RETURN_MS) this.#returned = 0;
    const often = this.#state === "connecting" || this.#returned > 0;
    const blocked = this.#state === "lost" && now - this.#lostAt >= BLOCKED_AFTER_MS;
    this.#nextBeat = now + (often ? CONNECTING_MS : blocked ? BLOCKED_MS : RETURN_MS);
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
