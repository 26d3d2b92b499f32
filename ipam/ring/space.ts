import { type Interval, IntervalSet, largestBlock, overlap, sizeOf, subtract } from "#ipam/ring/interval.js";

/**
 * The address space of a peer: its own spans of the ring, without the addresses in use. Free space is computed and not stored, so
 * that it cannot contradict the ring or the addresses in use.
 */
export class Space {
  readonly #own: readonly Interval[];
  readonly #used: IntervalSet;
  readonly #avoided: IntervalSet;

  /**
   * @param own sorted, not overlapping
   * @param used all addresses with a holder on this host, inside and outside the own spans
   * @param avoided addresses to allocate last, inside and outside the own spans
   */
  constructor(own: readonly Interval[], used: IntervalSet, avoided = new IntervalSet()) {
    this.#own = own;
    this.#used = used;
    this.#avoided = avoided;
  }

  /** Whether an address is in an own span. */
  owns(address: bigint): boolean {
    return this.#own.some(({ start, end }) => start <= address && address < end);
  }

  /** Whether an address may be allocated. */
  isFree(address: bigint): boolean {
    return this.owns(address) && !this.#used.has(address);
  }

  /** Returns the lowest free address of an interval that is not avoided; undefined if there is none. */
  lowest(bounds: Interval): bigint | undefined {
    return this.#lowest(bounds, (common) => this.#lowestPreferred(common));
  }

  /** Returns the lowest free address of an interval, avoided or not; undefined if there is none. */
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

  /** Returns the lowest address that is neither used nor avoided. */
  #lowestPreferred({ start, end }: Interval): bigint | undefined {
    for (let from = start; from < end; ) {
      const unused = this.#used.lowestGap({ start: from, end });
      if (unused === undefined) return undefined;
      const preferred = this.#avoided.lowestGap({ start: unused, end });
      if (preferred === undefined || preferred === unused) return preferred;
      from = preferred;
    }
    return undefined;
  }

  /** Returns the number of free addresses in an interval. */
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
   * Chooses the block to donate to a peer without free addresses: the largest free block, or, when that is more than half of the
   * free space, its upper half, because this peer allocates the lowest addresses first. Avoided addresses are donated only when
   * there are no others.
   */
  donation(bounds: Interval): Interval | undefined {
    const free = [...this.#free(bounds)];
    const preferred = free.flatMap((each) => subtract(each, this.#avoided.within(each)));
    let largest: Interval | undefined;
    for (const each of preferred.length > 0 ? preferred : free) {
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
