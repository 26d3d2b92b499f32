import { MAX_PEERS } from "#mesh/peer.js";
import type { Retirement } from "#mesh/trust/retirement.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

/** Maximum number of retired identities, of which the oldest are dropped first. */
export const MAX_RETIRED_IDENTITIES = 1_024;
/** Interval between two repetitions of a retirement for peers that lack it. */
const REPEAT_MS = 10_000;

/** The identities that have retired, and when each was last announced. */
export class Retirements {
  readonly #clock: Clock;
  readonly #retired: Map<string, Retirement>;
  /** Monotonic time of the last repetition of a retirement, by identity. */
  readonly #repeated = new Map<string, number>();

  constructor(clock: Clock, stored: readonly Retirement[]) {
    this.#clock = clock;
    this.#retired = new Map(stored.map((each) => [each.identity, each]));
  }

  has(identity: string): boolean {
    return this.#retired.has(identity);
  }

  add(retirement: Retirement): void {
    this.#retired.set(retirement.identity, retirement);
    limitSize(this.#retired, MAX_RETIRED_IDENTITIES);
  }

  all(): Retirement[] {
    return [...this.#retired.values()];
  }

  /** Returns the retirement of an identity if it should be sent again now, for a peer that lacks it; undefined also within a while. */
  takeRepetition(identity: string): Retirement | undefined {
    const retirement = this.#retired.get(identity);
    const now = this.#clock.now();
    if (retirement === undefined || now - (this.#repeated.get(identity) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS)
      return undefined;
    this.#repeated.set(identity, now);
    limitSize(this.#repeated, MAX_PEERS);
    return retirement;
  }
}
