import type { Versioned } from "#mesh/replica/record-format.js";

/** Live records of a set, found by a text that each has: a name, an address. */
export class RecordIndex<F> {
  readonly #textOf: (record: Versioned<F>) => string;
  readonly #records = new Map<string, Set<Versioned<F>>>();

  constructor(textOf: (record: Versioned<F>) => string) {
    this.#textOf = textOf;
  }

  get(text: string): Iterable<Versioned<F>> {
    return this.#records.get(text) ?? [];
  }

  add(record: Versioned<F>): void {
    const text = this.#textOf(record);
    const found = this.#records.get(text);
    if (found === undefined) this.#records.set(text, new Set([record]));
    else found.add(record);
  }

  delete(record: Versioned<F>): void {
    const text = this.#textOf(record);
    const found = this.#records.get(text);
    found?.delete(record);
    if (found?.size === 0) this.#records.delete(text);
  }
}
