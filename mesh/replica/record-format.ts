import type { ZodMiniType } from "zod/mini";
import type { PeerName } from "#mesh/peer.js";

/** The fields of a record, all of them text. All fields together identify the record. */
export type TextFields<F> = { readonly [K in keyof F]: string };

/** A record with the data that merging needs. */
export type Versioned<F> = F & {
  /** The peer that added it. */
  readonly origin: PeerName;
  /** Number of its last change, counted by its origin since the origin's start. */
  readonly version: number;
  /** Unix time of its removal in seconds; 0 while it is live. */
  readonly tombstone: number;
};

/** All records of an origin, or changes of them. */
export interface OriginState<F> {
  readonly origin: PeerName;
  /** Incarnation of the origin: records of its earlier incarnations are void. */
  readonly incarnation: number;
  /** Version up to which {@link records} is complete: a record that is missing there was removed, and its tombstone has expired. */
  readonly horizon: number;
  readonly records: readonly Versioned<F>[];
}

/** The format of the records of a replicated set. All peers must use the same format. */
export interface RecordFormat<F extends TextFields<F>> {
  /** Name of the set in log lines and errors: `names`. */
  readonly name: string;
  /** Shapes of the fields, in the order of messages, digests and keys in the store. */
  readonly fields: { readonly [K in keyof F]: ZodMiniType<F[K]> };
  /** Compares two records, for sort(). Digests depend on this total order. */
  compare(a: Versioned<F>, b: Versioned<F>): number;
  /** Returns an upper bound of a record's size in a message, in bytes. */
  bytes(fields: F): number;
}

/** Maximum number of records of one origin, tombstones included. */
export const MAX_RECORDS = 65_536;
/** Maximum size of the records of one origin in a message, in bytes; a message has at most 10 MB. */
export const MAX_ORIGIN_BYTES = 8 << 20;
/** Maximum number of records of all origins: some hundred megabytes if hostile peers make each record as long as possible. */
export const MAX_TOTAL_RECORDS = 262_144;
/** Bytes of a record in a message beside its long texts: field names, an address, two counters. */
export const RECORD_OVERHEAD_BYTES = 96;

/** Returns the names of the fields, in order. */
export const fieldNames = <F extends TextFields<F>>(format: RecordFormat<F>): (keyof F & string)[] =>
  Object.keys(format.fields) as (keyof F & string)[];
