import type { CarrierState } from "#router/carriers/carrier.js";

/**
 * Chooses the carrier that frames take, from the states of the agreed carriers, best first. Pure.
 *
 * The first choice waits until every better one is either usable or failed. A carrier in use is left when it fails, or when a
 * better one is usable. One that has failed must be usable for {@link RETURN_MS} without a break before it replaces another:
 * a carrier that comes and goes is not used. Where no other is usable, it is used immediately.
 */

/** Sleeve's three answers in a row take as long: it counts from the first (sleeve/path.ts). */
export const RETURN_MS = 1_000;

export interface Candidate {
  readonly name: string;
  readonly state: CarrierState;
}

export interface Selection<T extends Candidate> {
  readonly carrier: T;
  /** Why not a better one. */
  readonly reason: string;
  /** Since when it is used, on the clock of `update`. */
  readonly since: number;
}

export class PathSelector<T extends Candidate> {
  readonly #candidates: readonly T[];
  /** Carriers that have failed since their last use. */
  readonly #failed = new Set<T>();
  #selection: Selection<T> | undefined;
  /** A first choice was made, or all had failed. */
  #decided = false;
  #wakeAt = Number.POSITIVE_INFINITY;

  /** @param candidates best first */
  constructor(candidates: readonly T[]) {
    this.#candidates = candidates;
  }

  /** Undefined: none is usable, or the first choice is not made yet. */
  get selection(): Selection<T> | undefined {
    return this.#selection;
  }

  /** No carrier is usable, after a first choice was made or all had failed. */
  get exhausted(): boolean {
    return this.#decided && this.#selection === undefined;
  }

  /** Why no carrier is used, where none is. */
  get reason(): string {
    return reasonsOf(this.#candidates);
  }

  /** When {@link update} is due although no state changes; Infinity: never. */
  get wakeAt(): number {
    return this.#wakeAt;
  }

  /** To be called after every change of a state. True: {@link selection} has changed. */
  update(now: number): boolean {
    for (const candidate of this.#candidates) if (candidate.state.condition === "failed") this.#failed.add(candidate);
    this.#wakeAt = Number.POSITIVE_INFINITY;
    const carrier = this.#choose(now);
    this.#decided ||= carrier !== undefined || this.#failed.size === this.#candidates.length;
    if (carrier === this.#selection?.carrier) return false;
    if (carrier === undefined) this.#selection = undefined;
    else {
      const better = this.#candidates.slice(0, this.#candidates.indexOf(carrier));
      this.#selection = {
        carrier,
        reason: better.length === 0 ? "the preferred carrier" : reasonsOf(better),
        since: now,
      };
      this.#failed.delete(carrier);
    }
    return true;
  }

  #choose(now: number): T | undefined {
    for (const candidate of this.#candidates) {
      const { condition, since } = candidate.state;
      if (condition === "probing" && !this.#decided) return undefined;
      if (condition !== "usable") continue;
      if (candidate === this.#selection?.carrier || !this.#failed.has(candidate)) return candidate;
      if (now >= since + RETURN_MS) return candidate;
      this.#wakeAt = Math.min(this.#wakeAt, since + RETURN_MS);
    }
    return this.#candidates.find(({ state }) => state.condition === "usable");
  }
}

const reasonsOf = (candidates: readonly Candidate[]): string => candidates.map(({ state }) => state.reason).join("; ");
