import { createHash } from "node:crypto";
import type { PeerName } from "#mesh/peer.js";
import {
  fieldNames,
  MAX_ORIGIN_BYTES,
  MAX_RECORDS,
  MAX_TOTAL_RECORDS,
  type OriginState,
  RECORD_OVERHEAD_BYTES,
  type RecordFormat,
  type TextFields,
  type Versioned,
} from "#mesh/replica/record-format.js";
import type { RecordIndex } from "#mesh/replica/record-index.js";
import { compareText, shortHash } from "#src/text.js";

/** A summary of an origin's records: equal at two peers with the same records of this origin. */
export type OriginSummary = readonly [origin: PeerName, incarnation: number, digest: string];

interface Origin<F> {
  /** Hash of the records; undefined after a change. */
  digest: string | undefined;
  /** Size of the records in a message. */
  bytes: number;
  incarnation: number;
  horizon: number;
  readonly records: Map<string, Versioned<F>>;
}

/**
 * Records of all peers. Only the origin changes a record, and counts each change, so that merging is a join: of two incarnations
 * of an origin the higher one wins; within an incarnation the higher version of each record wins; and a record that one side
 * lacks, with a version up to that side's horizon, is removed. Order, loss and repetition of messages do not change the result,
 * and no clocks are compared (an observed-remove set whose tombstones are collected by their owner; Shapiro et al.,
 * Conflict-free Replicated Data Types, 2011).
 */
export class RecordSet<F extends TextFields<F>> {
  readonly #format: RecordFormat<F>;
  readonly #indexes: readonly RecordIndex<F>[];
  readonly #names: readonly (keyof F)[];
  readonly #origins = new Map<PeerName, Origin<F>>();
  #live = 0;
  #total = 0;

  /** @param indexes the set updates them with the live records */
  constructor(format: RecordFormat<F>, indexes: readonly RecordIndex<F>[] = []) {
    this.#format = format;
    this.#indexes = indexes;
    this.#names = fieldNames(format);
  }

  /** Number of live records. */
  get size(): number {
    return this.#live;
  }

  /** Returns all records, tombstones included. */
  *all(): Generator<Versioned<F>> {
    for (const { records } of this.#origins.values()) yield* records.values();
  }

  get originCount(): number {
    return this.#origins.size;
  }

  has(origin: PeerName): boolean {
    return this.#origins.has(origin);
  }

  /** Returns a record, live or removed. */
  get(origin: PeerName, fields: F): Versioned<F> | undefined {
    return this.#origins.get(origin)?.records.get(this.#keyOf(fields));
  }

  /** Whether one more record of an origin fits into the set and into a message. */
  hasRoom(origin: PeerName, fields: F): boolean {
    const known = this.#origins.get(origin);
    return known === undefined || this.#fits(known, fields);
  }

  /** Returns the size of an origin's records in a message, in bytes. */
  bytesOf(origin: PeerName): number {
    return RECORD_OVERHEAD_BYTES + (this.#origins.get(origin)?.bytes ?? 0);
  }

  /** Returns all records of an origin; undefined for an unknown one. */
  stateOf(origin: PeerName): OriginState<F> | undefined {
    const found = this.#origins.get(origin);
    return (
      found && { origin, incarnation: found.incarnation, horizon: found.horizon, records: [...found.records.values()] }
    );
  }

  /** Returns the summaries of all origins, sorted by name. */
  summary(): OriginSummary[] {
    return [...this.#origins]
      .sort(([a], [b]) => compareText(a, b))
      .map(([name, origin]) => [name, origin.incarnation, this.#digestOf(origin)]);
  }

  /** A hash of 22 characters, equal at two peers with the same records. */
  get digest(): string {
    const hash = createHash("sha256");
    for (const [origin, incarnation, digest] of this.summary()) hash.update(`${origin} ${incarnation} ${digest}\n`);
    return shortHash(hash);
  }

  /** Whether a received state of this peer is forged: it contains a change that this peer has not made. */
  isForged(own: OriginState<F>): boolean {
    const known = this.#origins.get(own.origin);
    if (known === undefined || own.incarnation !== known.incarnation) return false;
    return (
      own.horizon > known.horizon ||
      own.records.some((record) => {
        const was = known.records.get(this.#keyOf(record));
        if (was === undefined) return record.version > known.horizon;
        return record.version > was.version || (record.version === was.version && record.tombstone !== was.tombstone);
      })
    );
  }

  /** Merges a state. @returns the new part of it; undefined when nothing was new */
  merge(state: OriginState<F>): OriginState<F> | undefined {
    const { origin, incarnation } = state;
    let known = this.#origins.get(origin);
    if (known !== undefined && known.incarnation > incarnation) return undefined;
    const isNew = known === undefined || known.incarnation < incarnation;
    if (known === undefined || isNew) {
      this.drop(origin);
      known = { digest: undefined, bytes: 0, incarnation, horizon: 0, records: new Map() };
      this.#origins.set(origin, known);
    }
    const news = this.#mergeRecords(known, state);
    if (state.horizon > known.horizon) {
      this.#raiseHorizon(known, state);
      // A higher horizon is valid only together with all records that are left.
      return state;
    }
    return isNew || news.length > 0 ? { ...state, horizon: 0, records: news } : undefined;
  }

  /** Removes an origin and its records. */
  drop(origin: PeerName): void {
    const known = this.#origins.get(origin);
    if (known === undefined) return;
    for (const key of [...known.records.keys()]) this.#delete(known, key);
    this.#origins.delete(origin);
  }

  /**
   * Drops the old tombstones of this peer, and raises its horizon to their versions.
   *
   * @param before Unix time in seconds: older tombstones are dropped
   * @returns whether any were dropped
   */
  expire(self: PeerName, before: number): boolean {
    const known = this.#origins.get(self);
    if (known === undefined) return false;
    let any = false;
    for (const [key, { tombstone, version }] of known.records) {
      if (tombstone === 0 || tombstone >= before) continue;
      this.#delete(known, key);
      known.horizon = Math.max(known.horizon, version);
      known.digest = undefined;
      any = true;
    }
    return any;
  }

  #mergeRecords(known: Origin<F>, state: OriginState<F>): Versioned<F>[] {
    const news: Versioned<F>[] = [];
    for (const record of state.records) {
      const key = this.#keyOf(record);
      const was = known.records.get(key);
      if (was === undefined ? record.version <= known.horizon : was.version >= record.version) continue;
      if (was === undefined && !this.#fits(known, record)) continue;
      this.#set(known, key, { ...record, origin: state.origin });
      news.push(record);
    }
    return news;
  }

  #raiseHorizon(known: Origin<F>, state: OriginState<F>): void {
    const theirs = new Set(state.records.map((record) => this.#keyOf(record)));
    for (const [key, record] of known.records)
      if (record.version <= state.horizon && !theirs.has(key)) this.#delete(known, key);
    known.horizon = state.horizon;
    known.digest = undefined;
  }

  #digestOf(origin: Origin<F>): string {
    if (origin.digest === undefined) {
      const hash = createHash("sha256").update(`${origin.horizon}\n`);
      for (const record of [...origin.records.values()].sort(this.#format.compare))
        hash.update(`${this.#keyOf(record)}${record.version}\n`);
      origin.digest = shortHash(hash);
    }
    return origin.digest;
  }

  #keyOf(fields: F): string {
    let key = "";
    for (const name of this.#names) key += `${fields[name]} `;
    return key;
  }

  #fits({ records, bytes }: Origin<F>, fields: F): boolean {
    return (
      records.size < MAX_RECORDS &&
      bytes + this.#format.bytes(fields) <= MAX_ORIGIN_BYTES &&
      this.#total < MAX_TOTAL_RECORDS
    );
  }

  #set(origin: Origin<F>, key: string, record: Versioned<F>): void {
    this.#delete(origin, key);
    origin.records.set(key, record);
    origin.digest = undefined;
    origin.bytes += this.#format.bytes(record);
    this.#total++;
    if (record.tombstone !== 0) return;
    this.#live++;
    for (const index of this.#indexes) index.add(record);
  }

  #delete(origin: Origin<F>, key: string): void {
    const was = origin.records.get(key);
    if (was === undefined) return;
    origin.records.delete(key);
    origin.digest = undefined;
    origin.bytes -= this.#format.bytes(was);
    this.#total--;
    if (was.tombstone !== 0) return;
    this.#live--;
    for (const index of this.#indexes) index.delete(was);
  }
}
