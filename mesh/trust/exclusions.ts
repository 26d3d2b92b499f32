import type { PeerName } from "#mesh/peer.js";

/** An identity that the operator has excluded from the network. */
export interface Exclusion {
  readonly identity: string;
  readonly name: PeerName | undefined;
  readonly nickname: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

/** Maximum number of excluded identities. The oldest does not give way: a member could lift an exclusion by many others. */
export const MAX_EXCLUDED_IDENTITIES = 1_024;

/** The excluded identities. */
export class Exclusions {
  readonly #excluded: Map<string, Exclusion>;

  constructor(stored: readonly Exclusion[]) {
    this.#excluded = new Map(stored.map((each) => [each.identity, each]));
  }

  has(identity: string): boolean {
    return this.#excluded.has(identity);
  }

  /** @returns `full`: there are too many, and this one is not excluded */
  add(exclusion: Exclusion): "added" | "known" | "full" {
    if (this.#excluded.has(exclusion.identity)) return "known";
    if (this.#excluded.size >= MAX_EXCLUDED_IDENTITIES) return "full";
    this.#excluded.set(exclusion.identity, exclusion);
    return "added";
  }

  /** @returns whether it was excluded */
  remove(identity: string): boolean {
    return this.#excluded.delete(identity);
  }

  all(): Exclusion[] {
    return [...this.#excluded.values()];
  }
}
