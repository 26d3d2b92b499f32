import type { PeerName } from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";

/** Several records with one text. */
type Several<F> = Map<PeerName, Set<Versioned<F>>>;

/**
 * An index of the live records of a set by a text of each record: a name or an address. Most texts have one record, which takes
 * no table of its own.
 */
export class RecordIndex<F> {
  readonly #textOf: (record: Versioned<F>) => string;
  readonly #records = new Map<string, Versioned<F> | Several<F>>();

  constructor(textOf: (record: Versioned<F>) => string) {
    this.#textOf = textOf;
  }

  /** Returns the records with a text. */
  *get(text: string): Iterable<Versioned<F>> {
    for (const [, records] of this.byOrigin(text)) yield* records;
  }

  /** Like {@link get}, by origin, so that a reader can limit those of each. */
  byOrigin(text: string): Iterable<readonly [PeerName, Iterable<Versioned<F>>]> {
    const found = this.#records.get(text);
    if (found === undefined) return [];
    return found instanceof Map ? found : [[found.origin, [found]]];
  }

  add(record: Versioned<F>): void {
    const text = this.#textOf(record);
    const found = this.#records.get(text);
    if (found === undefined) {
      this.#records.set(text, record);
      return;
    }
    let origins = found;
    if (!(origins instanceof Map)) {
      origins = new Map([[origins.origin, new Set([origins])]]);
      this.#records.set(text, origins);
    }
    const records = origins.get(record.origin);
    if (records === undefined) origins.set(record.origin, new Set([record]));
    else records.add(record);
  }

  delete(record: Versioned<F>): void {
    const text = this.#textOf(record);
    const found = this.#records.get(text);
    if (!(found instanceof Map)) {
      if (found === record) this.#records.delete(text);
      return;
    }
    const records = found.get(record.origin);
    records?.delete(record);
    if (records?.size === 0) found.delete(record.origin);
    if (found.size === 0) this.#records.delete(text);
  }
}
