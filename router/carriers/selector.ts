import type { CarrierState } from "#router/carriers/carrier.js";

/** Time that a failed carrier must be usable before it replaces another: as long as sleeve's three answers in a row (sleeve/path.ts). */
export const RETURN_MS = 1_000;

export interface Candidate {
  readonly name: string;
  readonly state: CarrierState;
}

export interface Selection<T extends Candidate> {
  readonly carrier: T;
  /** The reason why no better carrier is used. */
  readonly reason: string;
  /** Start of its use, on the clock of `update`. */
  readonly since: number;
}

/**
 * Chooses the carrier of frames from the states of the agreed carriers. Pure.
 *
 * The first choice waits until every better carrier is either usable or failed. A carrier in use is replaced when it fails, or
 * when a better one is usable. A carrier that has failed must be usable for {@link RETURN_MS} without interruption before it
 * replaces another: unstable carriers are avoided. If no other carrier is usable, it is used immediately.
 */
export class PathSelector<T extends Candidate> {
  #candidates: readonly T[];
  /** Carriers that have failed since they were last selected. */
  readonly #failed = new Set<T>();
  #selection: Selection<T> | undefined;
  /** True after the first choice, or after all carriers had failed. */
  #decided = false;
  #wakeAt = Number.POSITIVE_INFINITY;

  /** @param candidates best first */
  constructor(candidates: readonly T[]) {
    this.#candidates = candidates;
  }

  /** Changes the order. @param candidates the same ones, best first */
  reorder(candidates: readonly T[]): void {
    this.#candidates = candidates;
    const selected = this.#selection;
    if (selected !== undefined) this.#selection = { ...selected, reason: this.#whyNotBetter(selected.carrier) };
  }

  /** The current choice. Undefined: no carrier is usable, or the first choice is still to come. */
  get selection(): Selection<T> | undefined {
    return this.#selection;
  }

  /** True: no carrier is usable, and the first choice no longer waits. */
  get exhausted(): boolean {
    return this.#decided && this.#selection === undefined;
  }

  /** The reasons in the states of all carriers. */
  get reason(): string {
    return reasonsOf(this.#candidates);
  }

  /** The time at which {@link update} is due even if no state changes; Infinity: never. */
  get wakeAt(): number {
    return this.#wakeAt;
  }

  /** Updates the choice. Call this after every change of a state, and at {@link wakeAt}. True: {@link selection} has changed. */
  update(now: number): boolean {
    for (const candidate of this.#candidates) if (candidate.state.condition === "failed") this.#failed.add(candidate);
    this.#wakeAt = Number.POSITIVE_INFINITY;
    const carrier = this.#choose(now);
    this.#decided ||= carrier !== undefined || this.#failed.size === this.#candidates.length;
    if (carrier === this.#selection?.carrier) return false;
    if (carrier === undefined) this.#selection = undefined;
    else {
      this.#selection = { carrier, reason: this.#whyNotBetter(carrier), since: now };
      this.#failed.delete(carrier);
    }
    return true;
  }

  #whyNotBetter(carrier: T): string {
    const better = this.#candidates.slice(0, this.#candidates.indexOf(carrier));
    return better.length === 0 ? "the preferred carrier" : reasonsOf(better);
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
