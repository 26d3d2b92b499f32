/**
 * Whether the other end of a connection is there, as far as the connection's own channel shows. Pure: the caller passes
 * the time and the count of bytes received, sends the messages that the effects name, and closes.
 *
 *   responsive ──a probe is unanswered for 5 s──▶ silent ──until 25 s──▶ dead
 *        ◀───────anything is received────────────────┘
 *
 * While a carrier has proof of its own that the other end is there (answers by UDP), a heartbeat every 30 s is enough.
 * While none has (in doubt), each end sends a heartbeat every few seconds, and probes the other when it receives nothing.
 * Any byte received counts: an answer may wait behind a long message on a slow line. While the other end's kernel
 * acknowledges our bytes, the line is there, and its router has more time.
 */

/** One heartbeat may be lost, two in a row end the connection (as in Weave Net). */
const HEARTBEAT_MS = 30_000;
export const SILENCE_MS = 60_000;
/** In doubt: the interval of heartbeats, and the silence after which a probe is sent. */
const DOUBTFUL_BEAT_MS = 4_000;
const QUIET_MS = 5_000;
/** Limit for the answer to a probe. In this time TCP sends a lost segment five times, if a round trip takes below 0.2 s (RFC 6298). */
const ANSWER_MS = 5_000;
/** Limit for the same answer while the other end's kernel acknowledges: segments are lost repeatedly, or its router is busy. */
const PATIENCE_MS = 20_000;
const LOOK_MS = 1_000;
/** From the probe to the end of the connection: a router may be too busy to answer for so long, and frames take another route. */
const DEAD_MS = 25_000;
/** A tick that is later than this: this process was stopped, and has not read what arrived meanwhile. */
const LATE_MS = 1_000;

export type LivenessEffect =
  | "heartbeat"
  /** A message that the other end answers immediately. */
  | "probe"
  /** Frames must take another route. */
  | "silent"
  /** The other end has sent something again. */
  | "responsive"
  | "dead";

export class Liveness {
  #receivedAt: number;
  #receivedBytes = 0;
  #nextBeat: number;
  #doubtful = false;
  /** When the oldest probe was sent since the last byte received. */
  #probedAt: number | undefined;
  #silent = false;
  /** When to check again whether the other end's kernel acknowledges. */
  #lookAt = 0;

  constructor(now: number) {
    this.#receivedAt = now;
    this.#nextBeat = now + HEARTBEAT_MS;
  }

  get silent(): boolean {
    return this.#silent;
  }

  /** Milliseconds at which {@link tick} is due. */
  get wakeAt(): number {
    const times = [this.#nextBeat, this.#receivedAt + SILENCE_MS];
    if (this.#probedAt !== undefined)
      times.push(this.#silent ? this.#probedAt + DEAD_MS : Math.max(this.#probedAt + ANSWER_MS, this.#lookAt));
    else if (this.#doubtful) times.push(this.#receivedAt + QUIET_MS);
    return Math.min(...times);
  }

  /** @param bytes received from the other end since the connection began */
  received(bytes: number, now: number): LivenessEffect[] {
    if (bytes === this.#receivedBytes) return [];
    this.#receivedBytes = bytes;
    this.#receivedAt = now;
    return this.#responsive();
  }

  /** No carrier has proof that the other end is there (true), or one has it again (false). */
  doubt(doubtful: boolean, now: number): LivenessEffect[] {
    if (doubtful === this.#doubtful) return [];
    this.#doubtful = doubtful;
    if (doubtful) return this.#probe(now);
    this.#nextBeat = now + HEARTBEAT_MS;
    return this.#responsive();
  }

  /** @param line bytes received, as in {@link received}, and the time since the other end's kernel last sent anything, if known */
  tick(line: { readonly received: number; readonly quietMs?: number | undefined }, now: number): LivenessEffect[] {
    const late = now - this.wakeAt;
    if (late >= LATE_MS) {
      this.#receivedAt += late;
      if (this.#probedAt !== undefined) this.#probedAt += late;
    }
    const effects = this.received(line.received, now);
    const unanswered = this.#probedAt === undefined ? 0 : now - this.#probedAt;
    if (unanswered >= DEAD_MS || now - this.#receivedAt >= SILENCE_MS) return [...effects, "dead"];
    if (unanswered >= ANSWER_MS && !this.#silent) {
      if (unanswered < PATIENCE_MS && line.quietMs !== undefined && line.quietMs < ANSWER_MS)
        this.#lookAt = now + LOOK_MS;
      else {
        this.#silent = true;
        effects.push("silent");
      }
    }
    if (this.#doubtful && this.#probedAt === undefined && now - this.#receivedAt >= QUIET_MS)
      effects.push(...this.#probe(now));
    else if (now >= this.#nextBeat) {
      this.#nextBeat = now + (this.#doubtful ? DOUBTFUL_BEAT_MS : HEARTBEAT_MS);
      effects.push("heartbeat");
    }
    return effects;
  }

  #probe(now: number): LivenessEffect[] {
    this.#probedAt = now;
    this.#nextBeat = now + DOUBTFUL_BEAT_MS;
    return ["probe"];
  }

  #responsive(): LivenessEffect[] {
    this.#probedAt = undefined;
    if (!this.#silent) return [];
    this.#silent = false;
    return ["responsive"];
  }
}
