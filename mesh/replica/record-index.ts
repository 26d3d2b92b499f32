import type { Versioned } from "#mesh/replica/record-format.js";

/** An index of the live records of a set by a text of each record: a name or an address. */
export class RecordIndex<F> {
  readonly #textOf: (record: Versioned<F>) => string;
  readonly #records = new Map<string, Set<Versioned<F>>>();

  constructor(textOf: (record: Versioned<F>) => string) {
    this.#textOf = textOf;
  }

  /** Returns the records with a text. */
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
