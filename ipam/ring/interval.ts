/** Addresses from `start` (included) to `end` (excluded), as integers. The code does not depend on the address family. */
export interface Interval {
  readonly start: bigint;
  readonly end: bigint;
}

export const sizeOf = ({ start, end }: Interval): bigint => end - start;

export const contains = ({ start, end }: Interval, address: bigint): boolean => start <= address && address < end;

/** Returns the intersection of two intervals; undefined when it is empty. */
export function overlap(a: Interval, b: Interval): Interval | undefined {
  const start = a.start > b.start ? a.start : b.start;
  const end = a.end < b.end ? a.end : b.end;
  return start < end ? { start, end } : undefined;
}

/** Returns intervals in the order of their starts. */
export const sorted = <T extends Interval>(intervals: Iterable<T>): T[] =>
  [...intervals].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));

/** Returns the parts of `whole` that no interval of `parts` covers. @param parts sorted, not overlapping */
export function subtract(whole: Interval, parts: Iterable<Interval>): Interval[] {
  const left: Interval[] = [];
  let { start } = whole;
  for (const part of parts) {
    if (part.end <= start) continue;
    if (part.start >= whole.end) break;
    if (part.start > start) left.push({ start, end: part.start });
    start = part.end;
  }
  if (start < whole.end) left.push({ start, end: whole.end });
  return left;
}

/**
 * Finds the largest CIDR block in an interval: its size is a power of two, and its start a multiple of the size. Of several blocks
 * it is the lowest one. It is always larger than a quarter of the interval.
 *
 * @param interval not empty
 */
export function largestBlock({ start, end }: Interval): Interval {
  for (let bits = BigInt((end - start).toString(2).length - 1); ; bits--) {
    const size = 1n << bits;
    const aligned = ((start + size - 1n) >> bits) << bits;
    if (aligned + size <= end) return { start: aligned, end: aligned + size };
  }
}

/** A set of integers, stored as sorted intervals that neither overlap nor touch. Dense members take little memory. */
export class IntervalSet implements Iterable<Interval> {
  readonly #intervals: { start: bigint; end: bigint }[] = [];
  #size = 0n;

  get size(): bigint {
    return this.#size;
  }

  [Symbol.iterator](): Iterator<Interval> {
    return this.#intervals[Symbol.iterator]();
  }

  has(value: bigint): boolean {
    const found = this.#intervals[this.#firstEndingAfter(value)];
    return found !== undefined && found.start <= value;
  }

  /** Adds a value. @returns false if the set contained it already */
  add(value: bigint): boolean {
    const at = this.#firstEndingAfter(value);
    const [before, after] = [this.#intervals[at - 1], this.#intervals[at]];
    if (after !== undefined && after.start <= value) return false;
    this.#size++;
    const joinsBefore = before !== undefined && before.end === value;
    const joinsAfter = after !== undefined && after.start === value + 1n;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      this.#intervals.splice(at, 1);
    } else if (joinsBefore) before.end = value + 1n;
    else if (joinsAfter) after.start = value;
    else this.#intervals.splice(at, 0, { start: value, end: value + 1n });
    return true;
  }

  /** Removes a value. @returns false if the set did not contain it */
  delete(value: bigint): boolean {
    const at = this.#firstEndingAfter(value);
    const found = this.#intervals[at];
    if (found === undefined || found.start > value) return false;
    this.#size--;
    const rest = [
      { start: found.start, end: value },
      { start: value + 1n, end: found.end },
    ].filter(({ start, end }) => start < end);
    this.#intervals.splice(at, 1, ...rest);
    return true;
  }

  /** Returns the members within an interval, as intervals. */
  *within(bounds: Interval): Generator<Interval> {
    for (let at = this.#firstEndingAfter(bounds.start); at < this.#intervals.length; at++) {
      const common = overlap(this.#intervals[at], bounds);
      if (common === undefined) return;
      yield common;
    }
  }

  /** Returns the lowest integer of an interval that is not a member; undefined if all are. */
  lowestGap(bounds: Interval): bigint | undefined {
    let candidate = bounds.start;
    const found = this.#intervals[this.#firstEndingAfter(candidate)];
    // Intervals do not touch: a gap follows each.
    if (found !== undefined && found.start <= candidate) candidate = found.end;
    return candidate < bounds.end ? candidate : undefined;
  }

  /** Returns the index of the first interval that ends after `value`. */
  #firstEndingAfter(value: bigint): number {
    let [low, high] = [0, this.#intervals.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#intervals[middle].end > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
