import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import type { PeerName } from "#mesh/peer.js";
import { macText } from "#src/mac.js";

/** A record with the data that the set adds to its fields. */
export type Versioned<F> = F & {
  /** The peer that added it. */
  readonly origin: PeerName;
  /** Number of its last change, counted by its origin in the current incarnation. */
  readonly version: number;
  /** Unix time of its removal in seconds; 0 while it is live. */
  readonly tombstone: number;
};

/** The format of the records of a replicated set. All peers must use the same format. */
export interface RecordFormat<F extends object> {
  /** Name of the set in log lines and errors: `names`. It is part of what is signed: no set accepts the records of another. */
  readonly name: string;
  /** Shape of a packed record: a list of plain values. */
  readonly shape: ZodMiniType<readonly unknown[]>;
  /** Converts the fields to plain values for messages and hashes. */
  pack(fields: F): readonly unknown[];
  /** The inverse of {@link pack}, for a list that has the {@link shape}: a new object, to which the set adds its own fields. */
  unpack(packed: readonly unknown[]): F;
  /** Identifies a record: of two records of one origin with one key the later one replaces the earlier one. */
  keyOf(fields: F): string;
  /** Estimates the memory of a record in bytes, without that of the set itself ({@link RECORD_HEAP_BYTES}). */
  heapBytes(fields: F): number;
  /** How own records are stored; absent for records that do not outlive the process. */
  readonly stored?: {
    readonly shape: ZodMiniType<F>;
    /** Returns the key in the store, after the prefix of the set. */
    keyOf(fields: F): string;
  };
}

/** Fields that are texts. */
export type TextFields<F> = { readonly [K in keyof F]: string };

/** Maximum size of a packed record in bytes: the longest name with the longest id has less than a third of it. */
export const MAX_RECORD_BYTES = 2_048;
/** Estimated memory of a record in a set beside its fields and its packed form: entries of maps, an object, short texts. */
export const RECORD_HEAP_BYTES = 240;

/**
 * Makes the format of records with fields of text. All fields together identify a record.
 *
 * @param fields shapes of the fields, in the order of messages and of keys in the store
 * @param heapBytes see {@link RecordFormat.heapBytes}
 */
export function textFormat<F extends TextFields<F>>(
  name: string,
  fields: { readonly [K in keyof F]: ZodMiniType<F[K]> },
  heapBytes: (fields: F) => number,
): RecordFormat<F> {
  const names = Object.keys(fields) as (keyof F & string)[];
  const shapes = names.map((each) => fields[each]);
  const texts = Object.fromEntries(names.map((each) => [each, z.string()]));
  const join = (record: F, separator: string) => names.map((each) => record[each]).join(separator);
  return {
    name,
    shape: z.tuple(shapes as unknown as [ZodMiniType]) as unknown as ZodMiniType<readonly unknown[]>,
    pack: (record) => names.map((each) => record[each]),
    unpack: (packed) => Object.fromEntries(names.map((each, i) => [each, packed[i]])) as unknown as F,
    keyOf: (record) => join(record, " "),
    heapBytes,
    stored: { shape: z.object(texts) as unknown as ZodMiniType<F>, keyOf: (record) => join(record, "/") },
  };
}

/** Returns the six bytes of a peer's name: a third of its text. */
export function packName(name: PeerName): Uint8Array {
  return Buffer.from(name.replaceAll(":", ""), "hex");
}

/** Shape of a packed name. */
export const packedNameShape = z
  .instanceof(Uint8Array)
  .check(z.refine((bytes) => bytes.length === 6)) as ZodMiniType<Uint8Array>;

/** Returns the name of six bytes. */
export const unpackName = (bytes: Uint8Array, offset = 0): PeerName => macText(bytes, offset);
