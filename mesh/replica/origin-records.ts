import { createHash } from "node:crypto";
import { MAX_RECORD_BYTES, RECORD_HEAP_BYTES, type RecordFormat, type Versioned } from "#mesh/replica/record-format.js";

/** Number of versions in a block: a change of one record hashes at most two blocks and the list of blocks. */
const BLOCK_VERSIONS = 32;
/** Bytes before each record in a message: its length. */
const LENGTH_BYTES = 2;

/** A record in a set. */
export interface Entry<F> {
  readonly record: Versioned<F>;
  readonly key: string;
  /** The record as its origin has encoded it, one byte for each character (latin1): a byte array takes a hundred bytes more. */
  readonly raw: string;
  /** Estimated memory in bytes. */
  readonly heap: number;
}

interface Block<F> {
  /** In the order of their versions. */
  readonly entries: readonly Entry<F>[];
  readonly hash: Uint8Array;
}

/** A change that is computed, and not yet applied. */
export interface Trial<F> {
  /** The hash of all records after the change. */
  readonly hash: Uint8Array;
  /** The estimated memory of all records after the change. */
  readonly heap: number;
  readonly added: readonly Entry<F>[];
  readonly removed: readonly Entry<F>[];
  apply(): void;
}

/** Makes the entry of a record. @param raw its encoded form @throws RangeError when that is too long */
export function entryOf<F extends object>(format: RecordFormat<F>, record: Versioned<F>, raw: string): Entry<F> {
  if (raw.length > MAX_RECORD_BYTES) throw new RangeError(`a record of ${format.name} has ${raw.length} bytes`);
  const key = format.keyOf(record);
  return { record, key, raw, heap: RECORD_HEAP_BYTES + raw.length + 2 * key.length + format.heapBytes(record) };
}

/**
 * The records of one origin, tombstones included, in the order of their versions, with a hash of all of them. The hash is that of
 * the list of the hashes of blocks of {@link BLOCK_VERSIONS} versions (a tree of two levels: Merkle, A Digital Signature Based on
 * a Conventional Encryption Function, 1987), so that the cost of a change does not grow with the number of records.
 */
export class OriginRecords<F> {
  readonly #entries = new Map<string, Entry<F>>();
  /** In the order of their numbers. */
  #blocks = new Map<number, Block<F>>();
  #heap = 0;

  /** Estimated memory in bytes. */
  get heap(): number {
    return this.#heap;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Entry<F> | undefined {
    return this.#entries.get(key);
  }

  /** Returns the entries whose version is above `version`, in the order of versions. */
  *since(version: number): Generator<Entry<F>> {
    for (const [number, { entries }] of this.#blocks) {
      if (number < Math.floor(version / BLOCK_VERSIONS)) continue;
      for (const entry of entries) if (entry.record.version > version) yield entry;
    }
  }

  /** Returns all records, tombstones included. */
  *all(): Generator<Versioned<F>> {
    for (const { record } of this.#entries.values()) yield record;
  }

  hash(): Uint8Array {
    return hashBlocks(this.#blocks.values());
  }

  /**
   * Computes a change.
   *
   * @param added entries with versions above all present ones, in their order; each replaces the one with its key
   * @param horizon tombstones with versions up to it are dropped
   */
  try(added: readonly Entry<F>[], horizon: number): Trial<F> {
    const removed = this.#removedBy(added, horizon);
    const gone = new Set(removed);
    const touched = new Map<number, Entry<F>[]>();
    for (const { record } of removed) touched.set(blockOf(record), []);
    for (const entry of added) {
      const number = blockOf(entry.record);
      const entries = touched.get(number) ?? [];
      touched.set(number, entries);
      if (!(entry.record.tombstone !== 0 && entry.record.version <= horizon)) entries.push(entry);
    }
    const blocks = new Map<number, Block<F>>();
    for (const [number, block] of this.#blocks) {
      const more = touched.get(number);
      touched.delete(number);
      if (more === undefined) blocks.set(number, block);
      else setBlock(blocks, number, [...block.entries.filter((entry) => !gone.has(entry)), ...more]);
    }
    for (const [number, entries] of touched) setBlock(blocks, number, entries);
    const kept = added.filter(({ record }) => record.tombstone === 0 || record.version > horizon);
    const heap = sum(kept) - sum(removed) + this.#heap;
    const apply = () => this.#apply(kept, removed, blocks, heap);
    return { hash: hashBlocks(blocks.values()), heap, added: kept, removed, apply };
  }

  #removedBy(added: readonly Entry<F>[], horizon: number): Entry<F>[] {
    const removed: Entry<F>[] = [];
    const keys = new Set(added.map(({ key }) => key));
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) removed.push(entry);
    }
    for (const [number, { entries }] of this.#blocks) {
      if (number > Math.floor(horizon / BLOCK_VERSIONS)) break;
      for (const entry of entries) {
        const { tombstone, version } = entry.record;
        if (tombstone !== 0 && version <= horizon && !keys.has(entry.key)) removed.push(entry);
      }
    }
    return removed;
  }

  #apply(added: readonly Entry<F>[], removed: readonly Entry<F>[], blocks: Map<number, Block<F>>, heap: number): void {
    for (const { key } of removed) this.#entries.delete(key);
    for (const entry of added) this.#entries.set(entry.key, entry);
    this.#blocks = blocks;
    this.#heap = heap;
  }
}

/** Joins encoded records, each after its length. */
export function joinRecords(raws: readonly string[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(raws.reduce((size, raw) => size + LENGTH_BYTES + raw.length, 0));
  let at = 0;
  for (const raw of raws) {
    at = bytes.writeUInt16BE(raw.length, at);
    at += bytes.write(raw, at, "latin1");
  }
  return bytes;
}

/** The inverse of {@link joinRecords}; undefined when the bytes are no such list. */
export function splitRecords(bytes: Uint8Array): string[] | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const raws: string[] = [];
  for (let at = 0; at < buffer.length; ) {
    if (at + LENGTH_BYTES > buffer.length) return undefined;
    const end = at + LENGTH_BYTES + buffer.readUInt16BE(at);
    if (end > buffer.length || end > at + LENGTH_BYTES + MAX_RECORD_BYTES) return undefined;
    raws.push(buffer.toString("latin1", at + LENGTH_BYTES, end));
    at = end;
  }
  return raws;
}

const blockOf = ({ version }: { readonly version: number }): number => Math.floor(version / BLOCK_VERSIONS);
const sum = (entries: readonly Entry<unknown>[]): number => entries.reduce((heap, entry) => heap + entry.heap, 0);

function setBlock<F>(blocks: Map<number, Block<F>>, number: number, entries: readonly Entry<F>[]): void {
  if (entries.length === 0) return;
  const bytes = joinRecords(entries.map(({ raw }) => raw));
  blocks.set(number, { entries, hash: createHash("sha256").update(bytes).digest() });
}

function hashBlocks(blocks: Iterable<Block<unknown>>): Uint8Array {
  const hashes = Array.from(blocks, ({ hash }) => hash);
  return createHash("sha256").update(Buffer.concat(hashes)).digest();
}
