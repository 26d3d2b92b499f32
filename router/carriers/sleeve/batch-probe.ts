/**
 * Whether datagrams reach one peer when many of them leave with one call (UDP_SEGMENT). Pure: pings and pongs are data.
 *
 * On some paths they do not: a filter by length on a virtual wire sees a batch as one packet, and a network card can cut it
 * wrongly. The pings of the path and of its size leave one by one: they arrive, and no frame does. So, while large frames
 * flow, some pings leave as one batch; when they do not arrive, the same number leaves in a batch and one by one, and the
 * answers are compared. A lossy or congested path loses some of both.
 *
 *   batches ──three rounds in a row: single pings arrive, the batch does not──▶ singles
 *      ◀──after 5 minutes, two rounds in a row: the batch arrives───────────────┘
 */

/** Datagrams of a batch, and of the single pings that it is compared with: few, because each has full size. */
const PINGS = 4;
/** Answers, of {@link PINGS}, that show that pings arrive; and at most so many for a lost batch: a broken card may pass its first. */
const ARRIVES = 3;
const SWALLOWED = 1;
/** Time for the answers of a round; longer after each round without a result, for slower paths. */
const PATIENCE_MS = 1_000;
const MAX_PATIENCE_MS = 4_000;
/** The batch leaves first: when all single pings are answered, those of the batch are late. */
const OVERTAKE_MS = 150;
/** Rounds in a row that agree: on a path that loses a third one round may be chance (9 %), three are not. */
const ROUNDS_TO_SINGLES = 3;
const ROUNDS_TO_BATCHES = 2;
/** Rounds of a series at most. */
const MAX_ROUNDS = 6;
/** Between checks that batches still pass, while large frames flow: 6 KB each. */
const PROVEN_MS = 30_000;
/** Between checks of a path that swallows batches. */
const RETRY_MS = 5 * 60_000;
/** The ids of these pings are in the upper half of 32 bits: the path's own count from 1. */
const FIRST_ID = 0x8000_0000;

export type BatchEffect =
  /** Send pings of these ids, in datagrams of full size: all with one call, or each with its own. */
  | { readonly do: "ping"; readonly ids: readonly number[]; readonly batch: boolean }
  /** Datagrams may leave in batches from now on, or may not. */
  | { readonly do: "batches"; readonly pass: boolean };

interface Round {
  /** Ids of the batch, and of the single pings. */
  readonly batch: Set<number>;
  readonly singles: Set<number>;
  readonly compare: boolean;
  until: number;
}

export class BatchProbe {
  #pass = true;
  #round: Round | undefined;
  /** Rounds of the series under way, and those in a row that contradict {@link pass}. */
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

  /** Milliseconds at which {@link tick} is due; undefined: no round is under way. */
  get wakeAt(): number | undefined {
    return this.#round?.until;
  }

  /** Large frames are being sent; to be called once a second or more often while they are. */
  used(now: number): BatchEffect[] {
    this.#usedAt = now;
    return this.#round !== undefined || now < this.#after ? [] : this.#series(!this.#pass, now);
  }

  /** The path may have changed: the next large frames start a probe. */
  forget(): void {
    this.#round = undefined;
    this.#usedAt = this.#after = Number.NEGATIVE_INFINITY;
  }

  /** Datagrams of full size are lost, and perhaps batches: the senders of large frames may be waiting for answers now. */
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
    return PINGS - round.batch.size >= ARRIVES ? this.#end(true, now) : [];
  }

  tick(now: number): BatchEffect[] {
    const round = this.#round;
    if (round === undefined || now < round.until) return [];
    const [batch, singles] = [PINGS - round.batch.size, PINGS - round.singles.size];
    if (batch > SWALLOWED) return this.#end(true, now);
    return this.#end(round.compare && singles >= ARRIVES ? false : undefined, now);
  }

  #series(compare: boolean, now: number): BatchEffect[] {
    this.#rounds = this.#against = 0;
    this.#patience = PATIENCE_MS;
    return this.#begin(compare, now);
  }

  /** @param compare with pings one by one */
  #begin(compare: boolean, now: number): BatchEffect[] {
    const ids = () => Array.from({ length: PINGS }, () => FIRST_ID + (this.#ids++ % FIRST_ID));
    const [batch, singles] = [ids(), compare ? ids() : []];
    this.#round = { batch: new Set(batch), singles: new Set(singles), compare, until: now + this.#patience };
    const effects: BatchEffect[] = [{ do: "ping", ids: batch, batch: true }];
    if (compare) effects.push({ do: "ping", ids: singles, batch: false });
    return effects;
  }

  /** @param arrived whether the batch of the round did; undefined: unknown */
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
