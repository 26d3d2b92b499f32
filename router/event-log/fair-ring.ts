/**
 * The last items, bounded in number. When there is no room, the key with most items loses its oldest one: a flood of one key displaces no
 * items of others.
 */
export class FairRing<T> {
  readonly #max: number;
  readonly #each: number;
  readonly #items = new Map<string, T[]>();
  #size = 0;

  /** @param max number of items @param each number of items of one key */
  constructor(max: number, each = max) {
    this.#max = max;
    this.#each = each;
  }

  add(key: string, item: T): void {
    const own = this.#items.get(key) ?? [];
    this.#items.set(key, own);
    own.push(item);
    this.#size++;
    if (own.length > this.#each) this.#drop(key);
    else if (this.#size > this.#max) this.#drop(this.#largest());
  }

  get size(): number {
    return this.#size;
  }

  /** The items of a key, in the order in which they were added. */
  of(key: string): readonly T[] {
    return this.#items.get(key) ?? [];
  }

  /** All items; those of one key are in the order in which they were added. */
  all(): T[] {
    return [...this.#items.values()].flat();
  }

  #drop(key: string): void {
    const items = this.#items.get(key)!;
    items.shift();
    this.#size--;
    if (items.length === 0) this.#items.delete(key);
  }

  #largest(): string {
    let largest = "";
    let most = 0;
    for (const [key, { length }] of this.#items) {
      if (length <= most) continue;
      largest = key;
      most = length;
    }
    return largest;
  }
}
