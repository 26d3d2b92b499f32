/** Interval of heartbeats on a proven path. */
export const BEAT_MS = 500;
/** Interval of heartbeats until the first answer; it doubles up to {@link BEAT_MS}. The other end may open its path a little later. */
const FIRST_BEAT_MS = 50;
/** Time until a new path without an answer has failed: the first frames of a connection wait for it. */
export const PROBE_MS = 1_000;
/** Time without a proof after which the path is in doubt: at either end one arrives in each interval. */
const DOUBT_MS = BEAT_MS + 200;
/** A heartbeat that is named later than this after it was sent proves nothing: it has waited in some queue. */
const STALE_MS = 3_000;
/** Interval of heartbeats while in doubt: a lost frame or two are no reason to leave the path. */
const AGAIN_MS = 75;
/**
 * Time without a proof after which the path has failed: frames then take another carrier, within 2 s after a cut. What the follower
 * learns from a heartbeat of the leader is an interval old.
 */
export const WITHOUT_PROOF_MS = { leader: 1_750, follower: 1_750 - BEAT_MS } as const;
/** Interval of heartbeats on a failed path in its first minute, and from then on. */
const LOST_BEAT_MS = 1_000;
const BLOCKED_AFTER_MS = 60_000;
const BLOCKED_BEAT_MS = 5_000;
/** Consecutive proofs after which a failed path is usable; twice as many after each further failure within {@link CALM_MS}. */
const RETURN_PROOFS = 3;
const MAX_RETURN_PROOFS = 96;
/** Time of use after which earlier failures do not count any more. */
const CALM_MS = 5 * 60_000;
/** Longest time between two consecutive proofs. */
const CONSECUTIVE_MS = 1_000;
/** Delay of a tick that shows that this process was stopped, and has not read the heartbeats of that time. */
const LATE_MS = 300;
/** Heartbeats whose times are remembered. */
const REMEMBERED = 64;

/** What follows from a heartbeat or from time. `since`: time of the proof. */
export type ProofEffect =
  /** Send a heartbeat of this number now. `asks`: the other end must answer it at once. */
  | { readonly do: "beat"; readonly count: number; readonly asks: boolean }
  | { readonly do: "usable"; readonly since: number }
  | { readonly do: "failed"; readonly reason: string }
  /** True: heartbeats are missing, and the other end itself may be gone. */
  | { readonly do: "doubt"; readonly doubtful: boolean };

/**
 * Proves that frames of full size pass a path in both directions. Pure; times in milliseconds on a monotonic clock.
 *
 *   probing ──proof──▶ usable ⇄ failed
 *      └──timeout────────────────▶┘
 *
 * Both ends number their heartbeats, and each contains the highest number that its sender has received. A heartbeat that names one of
 * ours proves both directions. The follower answers each heartbeat of the leader at once, so that a
 * beat of the leader costs one frame in each direction; the leader answers where the follower lacks a proof.
 */
export class PathProof {
  readonly #leader: boolean;
  readonly #startedAt: number;
  #state: "probing" | "usable" | "failed" = "probing";
  #count = 0;
  /** Times of the last heartbeats, at the index of their number modulo {@link REMEMBERED}. */
  readonly #sentAt = new Float64Array(REMEMBERED).fill(Number.NEGATIVE_INFINITY);
  /** When the last proof arrived. */
  #provenAt = Number.NEGATIVE_INFINITY;
  /** The highest of our numbers that the other end has received. */
  #provenCount = 0;
  /** The last time at which anything arrived: whether the other direction works, for the reason. */
  #arrivedAt = Number.NEGATIVE_INFINITY;
  #nextBeat: number;
  #probeMs = FIRST_BEAT_MS;
  #usableSince = 0;
  #failedAt = 0;
  #proofs = 0;
  #firstProofAt = 0;
  #needed = RETURN_PROOFS;
  #doubtful = false;

  /** @param leader whether this end dialled the connection */
  constructor(leader: boolean, now: number) {
    this.#leader = leader;
    this.#startedAt = now;
    this.#nextBeat = now;
  }

  get state(): "probing" | "usable" | "failed" {
    return this.#state;
  }

  /** The time at which {@link tick} is due. */
  get wakeAt(): number {
    const deadlines = {
      probing: this.#startedAt + PROBE_MS,
      usable: this.#provenAt + (this.#doubtful ? this.#lostMs : DOUBT_MS),
      failed: Number.POSITIVE_INFINITY,
    };
    return Math.min(this.#nextBeat, deadlines[this.#state]);
  }

  get #lostMs(): number {
    return this.#leader ? WITHOUT_PROOF_MS.leader : WITHOUT_PROOF_MS.follower;
  }

  /** @param now not before {@link wakeAt} */
  tick(now: number): ProofEffect[] {
    const late = now - this.wakeAt;
    // The heartbeats of that time wait in the socket, and have not been read.
    if (late > LATE_MS && this.#state === "usable") {
      this.#provenAt += late;
      this.#nextBeat = now;
    }
    const effects: ProofEffect[] = [];
    if (this.#state === "probing" && now - this.#startedAt >= PROBE_MS) effects.push(...this.#fail(now));
    if (this.#state === "usable") {
      const age = now - this.#provenAt;
      if (age >= this.#lostMs) effects.push(...this.#fail(now));
      else if (age >= DOUBT_MS) effects.push(...this.#doubt(true, now));
    }
    if (now >= this.#nextBeat) effects.push(this.#beat(now));
    return effects;
  }

  /**
   * Records a heartbeat of the other end.
   *
   * @param received the highest number of ours that the other end has received; 0: none
   * @param asks whether the other end lacks a proof
   */
  beat({ received, asks }: { readonly received: number; readonly asks: boolean }, now: number): ProofEffect[] {
    this.#arrivedAt = now;
    const effects: ProofEffect[] = [];
    if (received > this.#provenCount && received <= this.#count && this.#count - received < REMEMBERED) {
      this.#provenCount = received;
      if (now - this.#sentAt[received % REMEMBERED] < STALE_MS) effects.push(...this.#prove(now));
    }
    if (this.#answers(received, asks, now)) effects.push(this.#beat(now));
    return effects;
  }

  /** Whether a heartbeat of the follower, which answers all of ours, is to be answered: it must not go on for ever. */
  #answers(received: number, asks: boolean, now: number): boolean {
    if (!this.#leader) return true;
    if (received === 0 && this.#state !== "usable") return true;
    return asks && now - this.#sentAt[this.#count % REMEMBERED] >= AGAIN_MS;
  }

  #prove(now: number): ProofEffect[] {
    const effects: ProofEffect[] = [];
    const consecutive = now - this.#provenAt <= CONSECUTIVE_MS;
    this.#provenAt = now;
    if (this.#state === "usable") {
      if (now - this.#usableSince >= CALM_MS) this.#needed = RETURN_PROOFS;
      effects.push(...this.#doubt(false, now));
    } else {
      if (this.#proofs === 0 || !consecutive) {
        this.#proofs = 0;
        this.#firstProofAt = now;
      }
      this.#proofs++;
      if (this.#state === "probing" || this.#proofs >= this.#needed) {
        this.#state = "usable";
        this.#usableSince = now;
        this.#proofs = 0;
        effects.push({ do: "usable", since: this.#firstProofAt }, ...this.#doubt(false, now));
      }
      // Both the interval of a proven path and that of the proofs of a failed one.
      this.#nextBeat = Math.min(this.#nextBeat, now + BEAT_MS / 2);
    }
    return effects;
  }

  #beat(now: number): ProofEffect {
    const count = ++this.#count;
    this.#sentAt[count % REMEMBERED] = now;
    this.#nextBeat = now + this.#interval(now);
    return { do: "beat", count, asks: this.#doubtful || this.#state !== "usable" };
  }

  #interval(now: number): number {
    switch (this.#state) {
      case "probing": {
        const interval = this.#probeMs;
        this.#probeMs = Math.min(BEAT_MS, 2 * interval);
        return interval;
      }
      case "usable":
        // The follower sends when the leader does, and by itself if that does not happen.
        return this.#doubtful ? AGAIN_MS : this.#leader ? BEAT_MS : DOUBT_MS;
      case "failed":
        if (this.#proofs > 0) return BEAT_MS / 2;
        return now - this.#failedAt >= BLOCKED_AFTER_MS ? BLOCKED_BEAT_MS : LOST_BEAT_MS;
    }
  }

  #doubt(doubtful: boolean, now: number): ProofEffect[] {
    if (doubtful === this.#doubtful) return [];
    this.#doubtful = doubtful;
    if (doubtful) this.#nextBeat = now;
    return [{ do: "doubt", doubtful }];
  }

  #fail(now: number): ProofEffect[] {
    const was = this.#state;
    if (was === "usable") {
      const soon = now - this.#usableSince < CALM_MS && this.#failedAt > 0;
      this.#needed = soon ? Math.min(MAX_RETURN_PROOFS, 2 * this.#needed) : RETURN_PROOFS;
    }
    this.#state = "failed";
    this.#failedAt = now;
    this.#proofs = 0;
    const ms = was === "probing" ? PROBE_MS : this.#lostMs;
    const what =
      now - this.#arrivedAt < ms
        ? "heartbeats arrive, but ours do not reach the other end"
        : `no heartbeat has arrived for ${ms / 1_000} s`;
    return [{ do: "failed", reason: `VXLAN does not pass: ${what}` }, ...this.#doubt(true, now)];
  }
}
