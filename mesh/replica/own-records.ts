import { successor } from "#mesh/counter.js";
import type { PeerName } from "#mesh/peer.js";
import type { AbsentOrigins } from "#mesh/replica/absent-origins.js";
import { compareHeads, type Head, type HeadFields, signHead } from "#mesh/replica/head.js";
import { type Entry, OriginRecords, type Trial } from "#mesh/replica/origin-records.js";
import type { RecordCodec } from "#mesh/replica/record-codec.js";
import type { RecordFormat, Versioned } from "#mesh/replica/record-format.js";
import type { RecordSet } from "#mesh/replica/record-set.js";
import type { StateMessage } from "#mesh/replica/replica-message.js";
import type { Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";
import { checkStored, type Store } from "#src/store.js";

/** Shortest and longest time between two higher incarnations: two machines with one identity must not outdo each other for ever. */
const OUTLIVE_MS = 1_000;
const MAX_OUTLIVE_MS = 60_000;

export interface OwnRecordsDeps<F extends object> {
  readonly self: PeerName;
  readonly incarnation: number;
  readonly signer: Signer;
  readonly format: RecordFormat<F>;
  readonly codec: RecordCodec<F>;
  readonly set: RecordSet<F>;
  readonly absent: AbsentOrigins;
  readonly clock: Clock;
  /** Absent when own records are in memory alone. */
  readonly store?: Store;
  /** Prefix of the set's keys in the store. */
  readonly storePrefix?: string;
}

const NO_SIGNATURE = new Uint8Array(0);

/** The records of this peer: stored, counted and signed. */
export class OwnRecords<F extends object> {
  readonly #deps: OwnRecordsDeps<F>;
  #incarnation: number;
  /** Number of the last change. */
  #version = 0;
  /** The version that was announced last, in the present incarnation. */
  #announced = 0;
  /** Monotonic time before which no higher incarnation begins, and the pause after that. */
  #quietUntil = 0;
  #pauseMs = OUTLIVE_MS;

  /** @throws WEAVE_STORE when a stored record is damaged */
  constructor(deps: OwnRecordsDeps<F>) {
    this.#deps = deps;
    this.#incarnation = deps.incarnation;
    // Also without records: the new incarnation voids the records of earlier ones at all peers.
    const records = new OriginRecords<F>();
    const trial = records.try(this.#load(), 0);
    trial.apply();
    const head = this.#head(++this.#version, 0, trial.hash);
    deps.set.set(deps.self, { identity: deps.signer.identity, head, records }, undefined);
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  /** Returns the live records. */
  get live(): Versioned<F>[] {
    return this.#deps.set.of(this.#deps.self);
  }

  /**
   * Adds or replaces records, and removes others. Equal records are not changed.
   *
   * @param drop which of the records are removed; not those of `put`
   * @returns the number of changes; undefined when there is no room for them: then nothing has changed
   * @throws WEAVE_STORE
   */
  update(put: readonly F[], drop: (record: Versioned<F>) => boolean): number | undefined {
    const { self, codec, format, set, clock } = this.#deps;
    const state = set.get(self)!;
    const removed = Math.floor(clock.wall() / 1_000);
    const entries = new Map<string, Entry<F>>();
    let version = this.#version;
    for (const fields of put) {
      const key = format.keyOf(fields);
      const was = entries.get(key)?.record ?? state.records.get(key)?.record;
      if (was?.tombstone === 0 && codec.isEqual(was, fields)) continue;
      entries.delete(key);
      entries.set(key, codec.entry(fields, { origin: self, version: ++version, tombstone: 0 }));
    }
    const kept = new Set(put.map((fields) => format.keyOf(fields)));
    for (const record of this.live.filter((each) => !kept.has(format.keyOf(each)) && drop(each)))
      entries.set(format.keyOf(record), codec.entry(record, { origin: self, version: ++version, tombstone: removed }));
    if (entries.size === 0) return 0;
    const trial = state.records.try([...entries.values()], state.head.horizon);
    // A tombstone takes no more than its record: a removal always has room.
    const isRemoval = [...entries.values()].every(({ record }) => record.tombstone !== 0);
    if (!isRemoval && !this.#hasRoom(trial)) return undefined;
    this.#persist(trial);
    this.#version = version;
    set.apply(self, this.#head(version, state.head.horizon, trial.hash), trial, undefined);
    return entries.size;
  }

  /** Drops tombstones that are older than `before`, Unix time in seconds. @returns whether there were any */
  expire(before: number): boolean {
    const { self, set } = this.#deps;
    const { head, records } = set.get(self)!;
    let horizon = head.horizon;
    for (const { tombstone, version } of records.all())
      if (tombstone !== 0 && tombstone < before) horizon = Math.max(horizon, version);
    if (horizon === head.horizon) return false;
    const trial = records.try([], horizon);
    set.apply(self, this.#head(++this.#version, horizon, trial.hash), trial, undefined);
    return true;
  }

  /** Returns the signed head. */
  head(): Head {
    const { self, set, signer, format } = this.#deps;
    const { head } = set.get(self)!;
    if (head.signature !== NO_SIGNATURE) return head;
    const signed = signHead(signer, format.name, head);
    set.setHead(self, signed);
    return signed;
  }

  /** Returns the changes since the last announcement; undefined without any. */
  announce(): StateMessage | undefined {
    const head = this.head();
    const since = this.#announced;
    if (since === head.version) return undefined;
    this.#announced = head.version;
    const { records } = this.#deps.set.get(this.#deps.self)!;
    const { hash: _, ...signed } = head;
    return { ...signed, since, records: Array.from(records.since(since), ({ raw }) => raw) };
  }

  /** Whether a head of this peer, with a valid signature, is one that this process has not made. */
  isForeign(head: HeadFields): boolean {
    const own = this.head();
    const order = compareHeads(head, own);
    return order > 0 || (order === 0 && Buffer.compare(head.hash, own.hash) !== 0);
  }

  /**
   * Begins a higher incarnation: other peers have records of this peer that this process has not made. They are of an
   * incarnation before its clock was set back, or its disk or memory was restored. Its present records replace them.
   *
   * @returns false when the last one began a short time ago
   */
  outlive(incarnation: number): boolean {
    const { clock, set, self } = this.#deps;
    const now = clock.now();
    if (now < this.#quietUntil) return false;
    this.#pauseMs =
      now - this.#quietUntil > 10 * MAX_OUTLIVE_MS ? OUTLIVE_MS : Math.min(2 * this.#pauseMs, MAX_OUTLIVE_MS);
    this.#quietUntil = now + this.#pauseMs;
    this.#incarnation = successor(Math.max(incarnation, this.#incarnation));
    this.#announced = 0;
    const { head } = set.get(self)!;
    set.setHead(self, this.#head(++this.#version, head.horizon, head.hash));
    return true;
  }

  #head(version: number, horizon: number, hash: Uint8Array): Head {
    const { self } = this.#deps;
    return { origin: self, incarnation: this.#incarnation, version, horizon, hash, signature: NO_SIGNATURE };
  }

  #hasRoom({ heap }: Trial<F>): boolean {
    const { self, set, absent } = this.#deps;
    const { excess, dropped } = set.makeRoom(self, undefined, heap);
    for (const each of dropped) absent.hadNoRoom(each.origin, each.payer);
    return excess === undefined;
  }

  /** Stores added records, and removes those that are no longer live. */
  #persist({ added, removed }: Trial<F>): void {
    const { store, storePrefix = "", format } = this.#deps;
    const { stored } = format;
    if (store === undefined || stored === undefined) return;
    for (const { record } of removed) if (record.tombstone === 0) store.remove(storePrefix + stored.keyOf(record));
    for (const { record } of added)
      if (record.tombstone === 0) store.put(storePrefix + stored.keyOf(record), format.unpack(format.pack(record)));
  }

  /** Reads the stored records, and counts them for the new incarnation. */
  #load(): Entry<F>[] {
    const { self, store, storePrefix = "", format, codec } = this.#deps;
    const { stored } = format;
    if (store === undefined || stored === undefined) return [];
    return store.list(storePrefix).map(([key, value]) => {
      const fields = checkStored(key, value, stored.shape, "'weave reset' starts over without it.");
      return codec.entry(fields, { origin: self, version: ++this.#version, tombstone: 0 });
    });
  }
}
