import { PathSize } from "#router/carriers/sleeve/path-size.js";
import { PATH_MESSAGE_BYTES } from "#router/datapath/control.js";
import { DATAGRAM_HEADER, RECORD_OVERHEAD } from "#router/datapath/record.js";
import { FLOOR_DATAGRAM } from "#router/datapath/session.js";

/**
 * Whether datagrams pass to one peer and back, and how large they may be. Pure: pings and pongs go in and out as data.
 *
 *   connecting ──a ping is answered──▶ established ──12 s without a proof──▶ lost
 *        └──3 s──▶ lost                     ◀──three answers in a row─────────┘
 *
 * While it is not established, frames go over the connection's own channel. Frames flow from the first answer, in datagrams
 * of the floor, until a larger size is known (path-size.ts).
 *
 * A proof is an answer to a ping of ours, or a ping of the other end that says that the one before was answered: one
 * exchange proves the path to both ends. So on an idle path only the leader pings, and the follower answers. While frames
 * flow proofs are more frequent, and while large ones do, pings are as large as they.
 */

/** As Weave Net: twice a second until the first answer. */
export const CONNECTING_MS = 500;
/** The first frames need not wait for longer than this. */
export const CONNECTING_PATIENCE_MS = 3_000;
/** Between proofs, while frames flow. */
export const BUSY_BEAT_MS = 3_000;
/** While none do: 18 bytes a second, and often enough for a NAT, which forgets after 30 s. */
export const IDLE_BEAT_MS = 5_000;
/** The follower waits so much longer for the leader's ping before it sends its own: a round trip, with room. */
const FOLLOW_MS = 1_500;
/** A heartbeat that is not answered by then is repeated: small ones four times a second, with a full one twice. */
const ANSWER_MS = 1_000;
const AGAIN_MS = 250;
const AGAIN_FULL_MS = 500;
/** So long after a heartbeat without an answer (four pings) the other end itself is in doubt, and is probed by TCP. */
export const DOUBT_MS = 1_500;
/** Some twenty pings without an answer: even a path that loses a third of them does not come to that by chance. */
export const LOST_MS = 12_000;
const TWENTY_PINGS_MS = 20 * AGAIN_MS;
/** A lost path is probed this often at first, and is back after so many answers in a row: one that comes and goes stays lost. */
export const RETURN_MS = 2_000;
const RETURN_ANSWERS = 3;
/** After a minute UDP is probably blocked: it is probed less often. */
const BLOCKED_AFTER_MS = 60_000;
export const BLOCKED_MS = 10_000;
/** Full-size heartbeats without an answer, while small ones are answered, until the size is given up. */
const FULL_SIZE_TRIES = 4;
/** A turn that comes this late: this process stood still, and the answers of that time are not read yet. */
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
  /** Frames may go this way; `since`: the first of the answers that say so. */
  | { readonly do: "established"; readonly since: number }
  /** Frames must go another way. */
  | { readonly do: "lost"; readonly reason: string }
  /** Answers are missing: the other end may be gone altogether (true); or they are there again (false). */
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
  /** Up to when our pongs certainly arrived: what the other end says of them is a beat old. */
  #pongsArrivedAt: number;
  #pongAt: number;
  #nextBeat: number;
  /** When the first heartbeat since the last proof was sent. */
  #askedAt: number | undefined;
  #doubtful = false;
  #lostAt = 0;
  /** Answers in a row on a path that was lost, and when the first of them came. */
  #returned = 0;
  #returningSince = 0;
  /** When frames were sent last, and such as need datagrams above the floor. */
  #framesAt = Number.NEGATIVE_INFINITY;
  #largeAt = Number.NEGATIVE_INFINITY;
  /** When a heartbeat of full size was sent last. */
  #fullAt = Number.NEGATIVE_INFINITY;
  /** The first of those that are not answered yet, and how many there are. */
  #full: { readonly id: number; readonly at: number; tries: number } | undefined;

  /** @param leader whether we are the one of the two ends that pings while the path is idle */
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
      if (this.#askedAt !== undefined && !this.#doubtful) times.push(this.#askedAt + DOUBT_MS);
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
      if (this.#askedAt !== undefined) this.#askedAt += late;
    }
    const effects: PathEffect[] = [];
    if (this.#state !== "lost" && now - this.#provenAt >= this.#patience) effects.push(...this.#lose(now));
    if (this.#state === "established" && this.#askedAt !== undefined && now - this.#askedAt >= DOUBT_MS)
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
    if (this.#askedAt === undefined) this.#nextBeat = Math.min(this.#nextBeat, this.#beatAfter(this.#provenAt, now));
    return [...(now >= this.#nextBeat ? this.#heartbeat(now) : []), ...this.#search(now)];
  }

  /** A ping came, and was answered: the other end is there, and its address is known. Ours need not wait for its turn. */
  pinged(before: "answered" | "unanswered" | undefined, now: number): PathEffect[] {
    const pongAt = this.#pongAt;
    this.#pongAt = now;
    if (this.#state !== "established") {
      return this.#nextBeat - now <= CONNECTING_MS / 2 ? [] : this.#heartbeat(now);
    }
    if (before === "answered") {
      this.#pongsArrivedAt = Math.max(this.#pongsArrivedAt, pongAt);
      // Pings of ours that are unanswered since then are later news.
      return this.#askedAt === undefined || pongAt >= this.#askedAt ? this.#prove(now) : [];
    }
    if (before === "unanswered") {
      this.#provenAt = Math.min(this.#provenAt, Math.max(this.#pongsArrivedAt, now + TWENTY_PINGS_MS - LOST_MS));
      if (this.#askedAt === undefined) return this.#heartbeat(now);
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

  /** What our own link takes is now known, or has changed: a new search, from the floor if the size in use is too large. */
  limit(ceiling: number, now: number): PathEffect[] {
    if (!this.#size.limit(ceiling, now)) return this.#shrink(now);
    return this.#state === "established" ? this.#search(now) : [];
  }

  /** Datagrams pass both ways. */
  #prove(now: number): PathEffect[] {
    this.#provenAt = now;
    this.#askedAt = undefined;
    if (this.#full === undefined) this.#nextBeat = this.#beatAfter(now, now);
    return this.#doubt(false);
  }

  /** When the next heartbeat is due after a proof. */
  #beatAfter(provenAt: number, now: number): number {
    const interval = provenAt - this.#framesAt < BUSY_BEAT_MS ? BUSY_BEAT_MS : IDLE_BEAT_MS;
    const at = provenAt + interval + (this.#leader ? 0 : FOLLOW_MS);
    // The other end's pings prove nothing of the size of ours.
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
    const before = this.#askedAt === undefined ? "answered" : "unanswered";
    this.#askedAt ??= now;
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
    // A full one that is lost must not look like a lost path.
    if (this.#full === undefined || again) ping(SMALL_PING);
    return effects;
  }

  /** A heartbeat of a path that is not established. */
  #pingAgain(now: number): PathEffect[] {
    // The answers must follow one another: one that is missing begins the count again.
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
    this.#askedAt = undefined;
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
