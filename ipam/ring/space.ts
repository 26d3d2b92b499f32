import { type Interval, IntervalSet, largestBlock, overlap, sizeOf, subtract } from "#ipam/ring/interval.js";

/**
 * What a peer has to hand out: its own ranges (from the ring) without what is held. Nothing is stored twice, so own ranges
 * are always used ∪ free.
 */
export class Space {
  readonly #own: readonly Interval[];
  readonly #used: IntervalSet;
  readonly #avoided: IntervalSet;

  /**
   * @param own sorted, not overlapping
   * @param used all addresses that somebody here holds, wherever they are
   * @param avoided addresses to hand out last, wherever they are
   */
  constructor(own: readonly Interval[], used: IntervalSet, avoided = new IntervalSet()) {
    this.#own = own;
    this.#used = used;
    this.#avoided = avoided;
  }

  owns(address: bigint): boolean {
    return this.#own.some(({ start, end }) => start <= address && address < end);
  }

  /** Whether an address may be handed out. */
  isFree(address: bigint): boolean {
    return this.owns(address) && !this.#used.has(address);
  }

  /** The lowest free address of an interval, of those that need not be avoided. */
  lowest(bounds: Interval): bigint | undefined {
    return this.#lowest(bounds, (common) => this.#lowestWelcome(common));
  }

  /** The lowest free address of an interval, whether it is to be avoided or not. */
  lowestOfAll(bounds: Interval): bigint | undefined {
    return this.#lowest(bounds, (common) => this.#used.lowestGap(common));
  }

  #lowest(bounds: Interval, find: (common: Interval) => bigint | undefined): bigint | undefined {
    for (const own of this.#own) {
      const common = overlap(own, bounds);
      const found = common === undefined ? undefined : find(common);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Neither used nor avoided. */
  #lowestWelcome({ start, end }: Interval): bigint | undefined {
    for (let from = start; from < end; ) {
      const unused = this.#used.lowestGap({ start: from, end });
      if (unused === undefined) return undefined;
      const welcome = this.#avoided.lowestGap({ start: unused, end });
      if (welcome === undefined || welcome === unused) return welcome;
      from = welcome;
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
   * then the upper part, as we hand out the lowest first. Of what is to be avoided only where there is nothing else.
   */
  donation(bounds: Interval): Interval | undefined {
    const free = [...this.#free(bounds)];
    const welcome = free.flatMap((each) => subtract(each, this.#avoided.within(each)));
    let largest: Interval | undefined;
    for (const each of welcome.length > 0 ? welcome : free) {
      const block = largestBlock(each);
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
