import type { ZodMiniType } from "zod/mini";
import type { PeerName } from "#mesh/peer.js";

/** The fields of a record, all text. Together they are its identity. */
export type TextFields<F> = { readonly [K in keyof F]: string };

/** A record with the history that merging needs. */
export type Versioned<F> = F & {
  readonly origin: PeerName;
  /** Number of the change that made it, counted by its origin since its start. */
  readonly version: number;
  /** Unix time in seconds of its removal; 0 while it is live. */
  readonly tombstone: number;
};

/** The records of one origin, or the changes of them. */
export interface OriginState<F> {
  readonly origin: PeerName;
  /** Of the origin's start: its records of earlier starts are void. */
  readonly incarnation: number;
  /** A record with a version up to this one that is not in {@link records} is gone: its tombstone has expired. */
  readonly horizon: number;
  readonly records: readonly Versioned<F>[];
}

/** Defines the records of one replicated set. All peers must use the same. */
export interface RecordFormat<F extends TextFields<F>> {
  /** For log lines and errors: `names`. */
  readonly name: string;
  /** A shape for each field. Their order is that of messages, digests and keys in the store. */
  readonly fields: { readonly [K in keyof F]: ZodMiniType<F[K]> };
  /** A total order of the records of one origin: digests depend on it. */
  compare(a: Versioned<F>, b: Versioned<F>): number;
  /** Upper bound of a record's size in a message, in bytes. */
  bytes(fields: F): number;
}

/** Records of one origin, with tombstones. */
export const MAX_RECORDS = 65_536;
/** Size of the records of one origin in a message, whose limit is 10 MB. */
export const MAX_ORIGIN_BYTES = 8 << 20;
/** Records of all origins: some hundred megabytes, if a hostile peer makes each as long as it may be. */
export const MAX_TOTAL_RECORDS = 262_144;
/** What a record takes in a message beside its text: names of fields, an address, two counters. */
export const RECORD_OVERHEAD_BYTES = 96;

/** Names of the fields, in their order. */
export const fieldNames = <F extends TextFields<F>>(format: RecordFormat<F>): (keyof F & string)[] =>
  Object.keys(format.fields) as (keyof F & string)[];
