import type { Random } from "#src/random.js";

/**
 * A bounded set of items of unauthenticated clients, shared among their source addresses. When the set is full, the source with
 * the most items loses a random one: a flood displaces itself, and a client from another address is admitted.
 */
export class FairSlots<T> {
  readonly #random: Random;
  readonly #total: number;
  readonly #each: number;
  readonly #sources = new Map<string, Set<T>>();
  #size = 0;

  /** @param limits maximum number of items: `total` of all sources, `each` of one source */
  constructor(random: Random, limits: { total: number; each: number }) {
    this.#random = random;
    this.#total = limits.total;
    this.#each = limits.each;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds an item. @returns the item that was displaced, which the caller must close */
  add(source: string, item: T): T | undefined {
    const own = this.#sources.get(source);
    let from: [string, ReadonlySet<T>] | undefined;
    if (own !== undefined && own.size >= this.#each) from = [source, own];
    else if (this.#size >= this.#total) from = this.#heaviest();
    let dropped: T | undefined;
    if (from !== undefined) {
      dropped = [...from[1]][this.#random.below(from[1].size)];
      this.delete(from[0], dropped);
    }
    const items = this.#sources.get(source) ?? new Set<T>();
    this.#sources.set(source, items.add(item));
    this.#size++;
    return dropped;
  }

  /** Removes an item, if the set contains it. */
  delete(source: string, item: T): void {
    const items = this.#sources.get(source);
    if (items?.delete(item) !== true) return;
    this.#size--;
    if (items.size === 0) this.#sources.delete(source);
  }

  *[Symbol.iterator](): Generator<T> {
    for (const items of this.#sources.values()) yield* items;
  }

  /** Returns the source with the most items. */
  #heaviest(): [string, ReadonlySet<T>] | undefined {
    let heaviest: [string, ReadonlySet<T>] | undefined;
    for (const entry of this.#sources) if (entry[1].size > (heaviest?.[1].size ?? 0)) heaviest = entry;
    return heaviest;
  }
}
