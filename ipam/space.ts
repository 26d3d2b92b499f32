import { type Interval, type IntervalSet, largestBlock, overlap, sizeOf, subtract } from "#ipam/interval.js";

/**
 * What a peer has to hand out: its own ranges (from the ring) without what is held. Nothing is stored twice, so own ranges
 * are always used ∪ free.
 */
export class Space {
  readonly #own: readonly Interval[];
  readonly #used: IntervalSet;

  /** @param own sorted, not overlapping @param used all addresses that somebody here holds, wherever they are */
  constructor(own: readonly Interval[], used: IntervalSet) {
    this.#own = own;
    this.#used = used;
  }

  owns(address: bigint): boolean {
    return this.#own.some(({ start, end }) => start <= address && address < end);
  }

  /** Whether an address may be handed out. */
  isFree(address: bigint): boolean {
    return this.owns(address) && !this.#used.has(address);
  }

  /** The lowest free address of an interval. */
  lowest(bounds: Interval): bigint | undefined {
    for (const own of this.#own) {
      const common = overlap(own, bounds);
      const found = common === undefined ? undefined : this.#used.lowestGap(common);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Number of free addresses in an interval. */
  freeIn(bounds: Interval): bigint {
    let free = 0n;
    for (const own of this.#own) {
      const common = overlap(own, bounds);
      if (common === undefined) continue;
      free += sizeOf(common);
      for (const used of this.#used.within(common)) free -= sizeOf(used);
    }
    return free;
  }

  /**
   * What to give to a peer that has nothing left: the largest free block, but not more than about half of what is free, and
   * then the upper part, as we hand out the lowest first.
   */
  donation(bounds: Interval): Interval | undefined {
    let largest: Interval | undefined;
    for (const free of this.#free(bounds)) {
      const block = largestBlock(free);
      if (largest === undefined || sizeOf(block) >= sizeOf(largest)) largest = block;
    }
    if (largest === undefined || sizeOf(largest) === 1n || sizeOf(largest) * 2n <= this.freeIn(bounds)) return largest;
    return { start: largest.start + sizeOf(largest) / 2n, end: largest.end };
  }

  *#free(bounds: Interval): Generator<Interval> {
    for (const own of this.#own) {
      const common = overlap(own, bounds);
      if (common !== undefined) yield* subtract(common, this.#used.within(common));
    }
  }
}
