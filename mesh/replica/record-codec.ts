import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import type { PeerName } from "#mesh/peer.js";
import { type Entry, entryOf } from "#mesh/replica/origin-records.js";
import type { RecordFormat, Versioned } from "#mesh/replica/record-format.js";
import { counterShape, type StateMessage } from "#mesh/replica/replica-message.js";
import { decode, encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

/** Encodes and decodes the records of a set: a list of version, tombstone, and the packed fields. */
export class RecordCodec<F extends object> {
  readonly #format: RecordFormat<F>;
  readonly #what: string;
  readonly #shape = z.array(z.unknown()) as ZodMiniType<unknown[]>;

  constructor(format: RecordFormat<F>) {
    this.#format = format;
    this.#what = `a record of ${format.name}`;
  }

  /** Makes the entry of a new record. @throws RangeError when it is too long */
  entry(fields: F, added: { origin: PeerName; version: number; tombstone: number }): Entry<F> {
    const packed = this.#format.pack(fields);
    const raw = toText(encode([added.version, added.tombstone, ...packed]));
    return entryOf(this.#format, versioned(this.#format.unpack(packed), added), raw);
  }

  /** Whether two records have the same fields. */
  isEqual(a: F, b: F): boolean {
    return Buffer.compare(encode(this.#format.pack(a)), encode(this.#format.pack(b))) === 0;
  }

  /**
   * Decodes the records of a message with versions above `after`. An entry that is present already is used again.
   *
   * @param present returns the present entry of a key
   * @throws WEAVE_MESSAGE_MALFORMED when a record does not have the shape, or their order is not that of their versions
   */
  entries(
    { origin, version: last, records, since }: StateMessage,
    after: number,
    present: (key: string) => Entry<F> | undefined = () => undefined,
  ): Entry<F>[] {
    const entries: Entry<F>[] = [];
    const keys = new Set<string>();
    let previous = since;
    for (const raw of records) {
      const record = this.#decode(origin, raw);
      if (record.version <= previous || record.version > last) throw this.#malformed("their versions are not in order");
      previous = record.version;
      if (record.version <= after) continue;
      const made = entryOf(this.#format, record, raw);
      if (keys.has(made.key)) throw this.#malformed("a record is there twice");
      keys.add(made.key);
      const known = present(made.key);
      entries.push(known?.raw === raw ? known : made);
    }
    return entries;
  }

  #decode(origin: PeerName, raw: string): Versioned<F> {
    const fields = decode(this.#shape, Buffer.from(raw, "latin1"), this.#what);
    const [version, tombstone, ...packed] = fields;
    const parsed = this.#format.shape.safeParse(packed);
    const isCounted = counterShape.safeParse(version).success && counterShape.safeParse(tombstone).success;
    if (!parsed.success || !isCounted) throw this.#malformed("a record does not have the shape");
    const added = { origin, version: version as number, tombstone: tombstone as number };
    return versioned(this.#format.unpack(parsed.data), added);
  }

  #malformed(why: string): WeaveError {
    return new WeaveError("WEAVE_MESSAGE_MALFORMED", `records of ${this.#format.name} are malformed: ${why}`);
  }
}

/** Adds to the object itself: V8 makes a hidden class of 330 bytes for each copy by spread. */
function versioned<F extends object>(
  fields: F,
  added: { readonly origin: PeerName; readonly version: number; readonly tombstone: number },
): Versioned<F> {
  return Object.assign(fields, added);
}

const toText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
