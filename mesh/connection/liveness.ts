/**
 * Detects whether the other end of a connection is alive, by the bytes received on the connection. Pure: the caller passes the
 * time and the number of received bytes, and applies the effects.
 *
 *   responsive ──a probe is unanswered for 5 s──▶ silent ──until 25 s──▶ dead
 *        ◀───────anything is received────────────────┘
 *
 * While a carrier receives answers from the other end (by UDP), a heartbeat every 30 s is enough. While none does (in doubt),
 * each end sends a heartbeat every few seconds, and probes the other end when it receives nothing. Any received byte counts,
 * because an answer may wait behind a long message on a slow line. While the other end's kernel acknowledges, the line works,
 * and the router at the other end has more time to answer.
 */

/** Interval of heartbeats without doubt. */
const HEARTBEAT_MS = 30_000;
/** Silence after which the connection ends: two heartbeats are missing, as in Weave Net. */
export const SILENCE_MS = 60_000;
/** Interval of heartbeats in doubt. */
const DOUBTFUL_BEAT_MS = 4_000;
/** Silence in doubt after which a probe is sent. */
const QUIET_MS = 5_000;
/** Limit for the answer to a probe. In this time TCP sends a lost segment five times, if a round trip takes below 0.2 s (RFC 6298). */
const ANSWER_MS = 5_000;
/** Limit for the same answer while the other end's kernel acknowledges: segments are lost repeatedly, or its router is busy. */
const PATIENCE_MS = 20_000;
/** Interval of the checks whether the other end's kernel still acknowledges; each grants {@link PATIENCE_MS} again. */
const LOOK_MS = 1_000;
/** Time from an unanswered probe to the end of the connection. A router may be busy for long; frames take another route meanwhile. */
const DEAD_MS = 25_000;
/** Delay of a tick from which this process counts as stopped: it has not read the bytes that arrived meanwhile. */
const LATE_MS = 1_000;

/** An action for the caller. */
export type LivenessEffect =
  /** Send a heartbeat. */
  | "heartbeat"
  /** Send a probe, which the other end answers immediately. */
  | "probe"
  /** The other end does not answer: frames must take another route. */
  | "silent"
  /** The other end has sent bytes again. */
  | "responsive"
  /** Close the connection. */
  | "dead";

/** The liveness of one connection. All times are monotonic milliseconds. */
export class Liveness {
  #receivedAt: number;
  #receivedBytes = 0;
  #nextBeat: number;
  #doubtful = false;
  /** Time of the first probe since the last received byte; undefined if there is none. */
  #probedAt: number | undefined;
  #silent = false;
  /** Time of the next check whether the other end's kernel acknowledges. */
  #lookAt = 0;

  constructor(now: number) {
    this.#receivedAt = now;
    this.#nextBeat = now + HEARTBEAT_MS;
  }

  /** Whether the other end does not answer. */
  get silent(): boolean {
    return this.#silent;
  }

  /** Time at which {@link tick} must be called. */
  get wakeAt(): number {
    const times = [this.#nextBeat, this.#receivedAt + SILENCE_MS];
    if (this.#probedAt !== undefined)
      times.push(this.#silent ? this.#probedAt + DEAD_MS : Math.max(this.#probedAt + ANSWER_MS, this.#lookAt));
    else if (this.#doubtful) times.push(this.#receivedAt + QUIET_MS);
    return Math.min(...times);
  }

  /** Records received bytes. @param bytes total number since the connection began */
  received(bytes: number, now: number): LivenessEffect[] {
    if (bytes === this.#receivedBytes) return [];
    this.#receivedBytes = bytes;
    this.#receivedAt = now;
    return this.#responsive();
  }

  /** Records whether no carrier receives answers from the other end. */
  doubt(doubtful: boolean, now: number): LivenessEffect[] {
    if (doubtful === this.#doubtful) return [];
    this.#doubtful = doubtful;
    if (doubtful) return this.#probe(now);
    this.#nextBeat = now + HEARTBEAT_MS;
    return this.#responsive();
  }

  /**
   * Applies the time limits.
   *
   * @param line.received total number of bytes received
   * @param line.quietMs milliseconds since the other end's kernel last sent anything, if known
   */
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
