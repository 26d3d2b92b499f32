/**
 * Whether the other end of a connection is there, as far as the connection's own channel shows. Pure: the caller brings
 * the time and what has arrived, sends what it is asked to send, and closes.
 *
 *   responsive ──a probe is unanswered for 5 s──▶ silent ──until 25 s──▶ dead
 *        ◀───────anything is received────────────────┘
 *
 * While the overlay has its own proof that the other end is there (answers by UDP), a heartbeat in half a minute is
 * enough. While it has none, in doubt, each end sends something every few seconds, and probes the other when it receives
 * nothing. Any byte received counts: an answer may wait behind a long message on a slow line. While the other end's kernel
 * acknowledges what we send, the line is there, and its router has more time.
 */

/** As Weave Net: one heartbeat may be lost, two in a row end the connection. */
const HEARTBEAT_MS = 30_000;
export const SILENCE_MS = 60_000;
/** In doubt: a heartbeat this often, and a probe when nothing has come for somewhat longer. */
const DOUBTFUL_BEAT_MS = 4_000;
const QUIET_MS = 5_000;
/** TCP sends a lost segment five times until then, where a round trip takes less than 0.2 s (RFC 6298). */
const ANSWER_MS = 5_000;
/** An answer that is lost again and again, or a router that is busy, while the other end's kernel is there. */
const PATIENCE_MS = 20_000;
const LOOK_MS = 1_000;
/** A router may be too busy to answer for this long; frames have another way by then. */
const DEAD_MS = 25_000;
/** A turn that comes this late: this process stood still, and what was received meanwhile is not read yet. */
const LATE_MS = 1_000;

export type LivenessEffect =
  | "heartbeat"
  /** A message that the other end answers at once. */
  | "probe"
  /** Frames must go another way. */
  | "silent"
  /** It has answered after all. */
  | "responsive"
  | "dead";

export class Liveness {
  #heardAt: number;
  #received = 0;
  #nextBeat: number;
  #doubtful = false;
  /** When the oldest probe was sent that nothing has followed. */
  #probedAt: number | undefined;
  #silent = false;
  /** When to look again whether the other end's kernel is there. */
  #lookAt = 0;

  constructor(now: number) {
    this.#heardAt = now;
    this.#nextBeat = now + HEARTBEAT_MS;
  }

  get silent(): boolean {
    return this.#silent;
  }

  /** Milliseconds at which {@link tick} is due. */
  get wakeAt(): number {
    const times = [this.#nextBeat, this.#heardAt + SILENCE_MS];
    if (this.#probedAt !== undefined)
      times.push(this.#silent ? this.#probedAt + DEAD_MS : Math.max(this.#probedAt + ANSWER_MS, this.#lookAt));
    else if (this.#doubtful) times.push(this.#heardAt + QUIET_MS);
    return Math.min(...times);
  }

  /** @param received bytes that have come from the other end since the connection began */
  heard(received: number, now: number): LivenessEffect[] {
    if (received === this.#received) return [];
    this.#received = received;
    this.#heardAt = now;
    return this.#responsive();
  }

  /** The overlay has lost its own proof that the other end is there, or has it again. */
  doubt(doubtful: boolean, now: number): LivenessEffect[] {
    if (doubtful === this.#doubtful) return [];
    this.#doubtful = doubtful;
    if (doubtful) return this.#probe(now);
    this.#nextBeat = now + HEARTBEAT_MS;
    return this.#responsive();
  }

  /** @param line what has come, as {@link heard}, and how long ago the other end's kernel sent anything, if that is known */
  tick(line: { readonly received: number; readonly quietMs?: number | undefined }, now: number): LivenessEffect[] {
    const late = now - this.wakeAt;
    if (late >= LATE_MS) {
      this.#heardAt += late;
      if (this.#probedAt !== undefined) this.#probedAt += late;
    }
    const effects = this.heard(line.received, now);
    const unanswered = this.#probedAt === undefined ? 0 : now - this.#probedAt;
    if (unanswered >= DEAD_MS || now - this.#heardAt >= SILENCE_MS) return [...effects, "dead"];
    if (unanswered >= ANSWER_MS && !this.#silent) {
      if (unanswered < PATIENCE_MS && line.quietMs !== undefined && line.quietMs < ANSWER_MS)
        this.#lookAt = now + LOOK_MS;
      else {
        this.#silent = true;
        effects.push("silent");
      }
    }
    if (this.#doubtful && this.#probedAt === undefined && now - this.#heardAt >= QUIET_MS)
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
