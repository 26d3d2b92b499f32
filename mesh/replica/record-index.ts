import type { PeerName } from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";

/** An index of the live records of a set by a text of each record: a name or an address. */
export class RecordIndex<F> {
  readonly #textOf: (record: Versioned<F>) => string;
  readonly #records = new Map<string, Map<PeerName, Set<Versioned<F>>>>();

  constructor(textOf: (record: Versioned<F>) => string) {
    this.#textOf = textOf;
  }

  /** Returns the records with a text. */
  *get(text: string): Iterable<Versioned<F>> {
    for (const [, records] of this.byOrigin(text)) yield* records;
  }

  /** Like {@link get}, by origin, so that a reader can limit those of each. */
  byOrigin(text: string): Iterable<readonly [PeerName, ReadonlySet<Versioned<F>>]> {
    return this.#records.get(text) ?? [];
  }

  add(record: Versioned<F>): void {
    const text = this.#textOf(record);
    const origins = this.#records.get(text) ?? new Map<PeerName, Set<Versioned<F>>>();
    this.#records.set(text, origins);
    const found = origins.get(record.origin);
    if (found === undefined) origins.set(record.origin, new Set([record]));
    else found.add(record);
  }

  delete(record: Versioned<F>): void {
    const text = this.#textOf(record);
    const origins = this.#records.get(text);
    const found = origins?.get(record.origin);
    found?.delete(record);
    if (found?.size === 0) origins?.delete(record.origin);
    if (origins?.size === 0) this.#records.delete(text);
  }
}
