/** What a peer has claimed of the MACs of others, since the start of a thread. */
export interface MacClaims {
  readonly peer: number;
  /** MACs that moved to it from other peers. */
  readonly moves: number;
  /** Frames whose MAC did not move to it, as it moved to and fro. */
  readonly held: number;
  /** Frames that were dropped, as their MAC is one of our bridge. */
  readonly refused: number;
  /** Frames whose MAC was not learned, as the peer's share of the table, or the table, is full. */
  readonly full: number;
  /** The last MAC, and the peer that had it; 0: none. */
  readonly mac: number;
  readonly from: number;
}

/** Maximum peers whose claims are counted. Further ones take the place of the one that claimed nothing for longest. */
const MAX_CLAIMANTS = 1_024;

type Counts = { -readonly [Field in keyof MacClaims]: MacClaims[Field] };
const COUNTS = { moved: "moves", held: "held", refused: "refused", full: "full" } as const;

/** Counts the MACs of each peer, and what it claimed of others. */
export class MacLedger {
  readonly #sizes = new Map<number, number>();
  /** In order of the last claim. */
  readonly #claims = new Map<number, Counts>();

  /** Number of MACs of a peer. */
  has(peer: number): number {
    return this.#sizes.get(peer) ?? 0;
  }

  count(peer: number, change: 1 | -1): void {
    const size = this.has(peer) + change;
    if (size === 0) this.#sizes.delete(peer);
    else this.#sizes.set(peer, size);
  }

  /** Counts a claim of `peer`. @param from the peer that had the MAC; 0: none */
  claimed(peer: number, result: keyof typeof COUNTS, mac: number, from: number): void {
    let counts = this.#claims.get(peer);
    if (counts === undefined) {
      if (this.#claims.size >= MAX_CLAIMANTS) this.#claims.delete(this.#claims.keys().next().value!);
      counts = { peer, moves: 0, held: 0, refused: 0, full: 0, mac: 0, from: 0 };
    } else this.#claims.delete(peer);
    this.#claims.set(peer, counts);
    counts[COUNTS[result]]++;
    counts.mac = mac;
    counts.from = from;
  }

  claims(): MacClaims[] {
    return [...this.#claims.values()].map((counts) => ({ ...counts }));
  }
}
