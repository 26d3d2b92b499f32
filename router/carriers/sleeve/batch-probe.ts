/** Number of pings in a batch, and of the single pings for comparison: few, because each has full size. */
const PINGS = 4;
/** Minimum answers, of {@link PINGS}, that show that pings arrive. */
const MIN_ARRIVED = 3;
/** Maximum answers of a lost batch: a broken network card may send the first datagram of a batch. */
const MAX_SWALLOWED = 1;
/** Time for the answers of a round. From the second round on it doubles after a round without a result, for slower paths. */
const PATIENCE_MS = 1_000;
const MAX_PATIENCE_MS = 4_000;
/** Extra time for the answers to a batch after all single pings are answered: the batch was sent first. */
const OVERTAKE_MS = 150;
/** Consecutive rounds that end the use of batches: on a path that loses a third one round may be chance (9 %), three are not. */
const ROUNDS_TO_SINGLES = 3;
/** Consecutive rounds that start the use of batches. */
const ROUNDS_TO_BATCHES = 2;
/** Maximum rounds of a series. */
const MAX_ROUNDS = 6;
/** Interval of checks that batches still pass, while large frames flow: 6 KB each. */
const PROVEN_MS = 30_000;
/** Interval of checks of a path that swallows batches. */
const RETRY_MS = 5 * 60_000;
/** First id of these pings: the upper half of 32 bits. The ids of the path's own pings count from 1. */
const FIRST_ID = 0x8000_0000;

export type BatchEffect =
  /** Send pings with these ids in datagrams of full size; `batch`: with one system call, otherwise one call for each. */
  | { readonly do: "ping"; readonly ids: readonly number[]; readonly batch: boolean }
  /** Whether datagrams may leave in batches from now on. */
  | { readonly do: "batches"; readonly pass: boolean };

interface Round {
  /** Ids of unanswered pings: of the batch, and of the single pings. */
  readonly batch: Set<number>;
  readonly singles: Set<number>;
  readonly compare: boolean;
  until: number;
}

/**
 * Determines whether datagrams reach one peer when one system call sends many of them (UDP_SEGMENT). Pure: pings and pongs are
 * data.
 *
 * On some paths they do not: a filter by length on a virtual link sees a batch as one packet, and a network card can segment
 * it wrongly. The pings of the path and of its size are sent one by one: they arrive, and no frame does. Therefore some pings
 * are sent as one batch while large frames flow. When they do not arrive, the same number is sent as a batch and one by one,
 * and the answers are compared. A lossy or congested path loses some of both.
 *
 *   batches ──three rounds in a row: single pings arrive, the batch does not──▶ singles
 *      ◀──after 5 minutes, two rounds in a row: the batch arrives───────────────┘
 */
export class BatchProbe {
  #pass = true;
  #round: Round | undefined;
  /** Completed rounds of the current series, and consecutive rounds that contradict {@link pass}. */
  #rounds = 0;
  #against = 0;
  #patience = PATIENCE_MS;
  /** The earliest time of the next series. */
  #after = Number.NEGATIVE_INFINITY;
  #usedAt = Number.NEGATIVE_INFINITY;
  #ids = 0;

  /** Whether datagrams may leave in batches. */
  get pass(): boolean {
    return this.#pass;
  }

  /** The time, in milliseconds, at which {@link tick} is due; undefined: there is no current round. */
  get wakeAt(): number | undefined {
    return this.#round?.until;
  }

  /** Records that large frames are being sent. Call this at least once a second meanwhile. */
  used(now: number): BatchEffect[] {
    this.#usedAt = now;
    return this.#round !== undefined || now < this.#after ? [] : this.#series(!this.#pass, now);
  }

  /** Ends the current round, because the path may have changed: the next large frames start a probe. */
  forget(): void {
    this.#round = undefined;
    this.#usedAt = this.#after = Number.NEGATIVE_INFINITY;
  }

  /** Full-size datagrams, and perhaps batches, are lost. Probes now if large frames were sent recently: their senders may be stalled. */
  shrunk(now: number): BatchEffect[] {
    if (now - this.#usedAt < PROVEN_MS) return this.#series(true, now);
    this.forget();
    return [];
  }

  /** Whether the ping of this id belongs to a batch probe. */
  static owns(id: number): boolean {
    return id >= FIRST_ID;
  }

  pong(id: number, now: number): BatchEffect[] {
    const round = this.#round;
    if (round === undefined) return [];
    round.batch.delete(id);
    if (round.singles.delete(id) && round.singles.size === 0) round.until = Math.min(round.until, now + OVERTAKE_MS);
    return PINGS - round.batch.size >= MIN_ARRIVED ? this.#end(true, now) : [];
  }

  tick(now: number): BatchEffect[] {
    const round = this.#round;
    if (round === undefined || now < round.until) return [];
    const [batch, singles] = [PINGS - round.batch.size, PINGS - round.singles.size];
    if (batch > MAX_SWALLOWED) return this.#end(true, now);
    return this.#end(round.compare && singles >= MIN_ARRIVED ? false : undefined, now);
  }

  #series(compare: boolean, now: number): BatchEffect[] {
    this.#rounds = this.#against = 0;
    this.#patience = PATIENCE_MS;
    return this.#begin(compare, now);
  }

  /** Begins a round. @param compare true: single pings are sent too */
  #begin(compare: boolean, now: number): BatchEffect[] {
    const ids = () => Array.from({ length: PINGS }, () => FIRST_ID + (this.#ids++ % FIRST_ID));
    const [batch, singles] = [ids(), compare ? ids() : []];
    this.#round = { batch: new Set(batch), singles: new Set(singles), compare, until: now + this.#patience };
    const effects: BatchEffect[] = [{ do: "ping", ids: batch, batch: true }];
    if (compare) effects.push({ do: "ping", ids: singles, batch: false });
    return effects;
  }

  /** Ends a round. @param arrived whether the batch arrived; undefined: unknown */
  #end(arrived: boolean | undefined, now: number): BatchEffect[] {
    this.#round = undefined;
    this.#rounds++;
    if (arrived === this.#pass) {
      this.#after = now + (this.#pass ? PROVEN_MS : RETRY_MS);
      return [];
    }
    if (arrived === undefined) {
      this.#against = 0;
      if (this.#rounds > 1) this.#patience = Math.min(2 * this.#patience, MAX_PATIENCE_MS);
    } else if (++this.#against >= (this.#pass ? ROUNDS_TO_SINGLES : ROUNDS_TO_BATCHES)) {
      this.#pass = !this.#pass;
      this.#after = now + (this.#pass ? PROVEN_MS : RETRY_MS);
      return [{ do: "batches", pass: this.#pass }];
    }
    if (this.#rounds >= MAX_ROUNDS) {
      this.#after = now + PROVEN_MS;
      return [];
    }
    return this.#begin(true, now);
  }
}
