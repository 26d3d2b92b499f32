import * as z from "zod/mini";
import { MAX_AHEAD_MS, successor } from "#mesh/counter.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { OriginLimit } from "#mesh/replica/origin-limit.js";
import {
  fieldNames,
  MAX_ORIGIN_BYTES,
  type OriginState,
  type RecordFormat,
  type TextFields,
  type Versioned,
} from "#mesh/replica/record-format.js";
import type { RecordIndex } from "#mesh/replica/record-index.js";
import { type OriginSummary, RecordSet } from "#mesh/replica/record-set.js";
import { ReplicaCodec, type ReplicaMessage } from "#mesh/replica/replica-message.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import type { Log } from "#src/log.js";
import { checkStored, type Store } from "#src/store.js";

/** Lifetime of a tombstone in seconds: longer than any message travels. A peer that was away for longer learns of removals by the horizon. */
const TOMBSTONE_S = 30 * 60;
/** Interval at which tombstones and unknown origins expire. */
const TICK_MS = 60_000;

export interface ReplicaOptions<F extends TextFields<F>> {
  readonly self: PeerName;
  /** Grows with each start of this peer. */
  readonly incarnation: number;
  readonly format: RecordFormat<F>;
  /** Prefix of this set's keys in the store. */
  readonly storePrefix: string;
}

/** Collaborators of a {@link Replica}. */
export interface ReplicaDeps<F> {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly peers: KnownPeers;
  /** Indexes that the replica updates with the live records. */
  readonly indexes?: readonly RecordIndex<F>[];
  /** Returns the network's time, in milliseconds since the Unix epoch; the host's clock by default. */
  readonly time?: () => number;
}

/**
 * A replica of a set of records that all peers have in full. Each peer adds, removes and stores only its own records, and merges
 * the records of others. Changes are gossiped. Messages of repair deliver missed changes:
 *
 *     digest       hash of all records, sent to a neighbour
 *     summary      each origin with its incarnation and a hash of its records; the answer to a different digest
 *     states       the records of origins that differ, or are missing at the other end; the answer to a summary
 *     want         a request for the states of origins; also an answer to a summary
 *
 * Each start of a peer begins an incarnation with its stored records; the records of earlier incarnations are void.
 */
export class Replica<F extends TextFields<F>> implements Gossiper {
  readonly #options: ReplicaOptions<F> & ReplicaDeps<F>;
  readonly #codec: ReplicaCodec<F>;
  readonly #names: readonly (keyof F & string)[];
  readonly #records: RecordSet<F>;
  readonly #limit: OriginLimit;
  readonly #timer: Timer;
  #channel: GossipChannel | undefined;
  #incarnation: number;
  /** Version of the last change by this peer. */
  #version = 0;
  /** Number of rejected states: implausible ones, and those of origins over the limit. */
  rejected = 0;

  /** @throws WEAVE_STORE when a stored record is damaged */
  constructor(options: ReplicaOptions<F> & ReplicaDeps<F>) {
    const { self, incarnation, format, clock, peers, indexes } = options;
    this.#options = options;
    this.#codec = new ReplicaCodec(format);
    this.#names = fieldNames(format);
    this.#records = new RecordSet(format, indexes);
    this.#limit = new OriginLimit({ self, clock, peers, records: this.#records });
    this.#incarnation = incarnation;
    // Also without records: the new incarnation voids the records of earlier ones at all peers.
    this.#records.merge({ origin: self, incarnation, horizon: 0, records: this.#load() });
    this.#timer = every(clock, TICK_MS, () => this.#expire());
  }

  /** Sets the sending end of the channel, and gossips this peer's records. */
  open(channel: GossipChannel): void {
    this.#channel = channel;
    this.#gossip({ kind: "states", states: [this.#records.stateOf(this.#options.self)!] });
  }

  stop(): void {
    this.#timer.cancel();
  }

  // ── Records ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Adds a record of this peer. An existing live record is not changed.
   *
   * @returns false when the set, or this peer's share of it, is full
   * @throws WEAVE_STORE
   */
  add(fields: F): boolean {
    const { self, store } = this.#options;
    const was = this.#records.get(self, fields);
    if (was?.tombstone === 0) return true;
    if (was === undefined && !this.#records.hasRoom(self, fields)) return false;
    store.put(this.#storeKey(fields), this.#plain(fields));
    this.#change([{ ...this.#plain(fields), origin: self, version: ++this.#version, tombstone: 0 }]);
    return true;
  }

  /** Removes live records of this peer. @returns the number of removed records @throws WEAVE_STORE */
  remove(matches: (record: Versioned<F>) => boolean): number {
    const { clock, store } = this.#options;
    const found = this.own().filter(matches);
    const tombstone = Math.floor(clock.wall() / 1_000);
    for (const record of found) store.remove(this.#storeKey(record));
    this.#change(found.map((record) => ({ ...record, version: ++this.#version, tombstone })));
    return found.length;
  }

  /** Returns the live records of this peer. */
  own(): Versioned<F>[] {
    const records = this.#records.stateOf(this.#options.self)?.records ?? [];
    return records.filter(({ tombstone }) => tombstone === 0);
  }

  /** Returns the records of all peers, tombstones included. */
  all(): IterableIterator<Versioned<F>> {
    return this.#records.all();
  }

  /** Number of live records of all peers. */
  get size(): number {
    return this.#records.size;
  }

  /** A hash that is equal at two peers with the same records. */
  get digest(): string {
    return this.#records.digest;
  }

  /** Whether a peer is unreachable. Its records are kept for a while. */
  isUnreachable(origin: PeerName): boolean {
    const { self, peers } = this.#options;
    return origin !== self && !peers.reachable().has(origin);
  }

  /** Drops the records of a peer that was unreachable for long. The peer sends them again when it returns. */
  forget(peer: PeerName): void {
    this.#records.drop(peer);
    this.#limit.forget(peer);
  }

  // ── Gossip ────────────────────────────────────────────────────────────────────────────────────────────────────────

  onUnicast(from: PeerName, payload: Uint8Array): void {
    const news = this.#receive(from, this.#codec.decode(payload));
    if (news !== undefined) this.#gossip(news);
  }

  onBroadcast(from: PeerName, payload: Uint8Array): void {
    this.onUnicast(from, payload);
  }

  onGossip(from: PeerName, payload: Uint8Array): Uint8Array | undefined {
    const news = this.#receive(from, this.#codec.decode(payload));
    return news && this.#codec.encode(news);
  }

  state(): Uint8Array {
    return this.#codec.encode({ kind: "digest", digest: this.digest });
  }

  /** Handles a message. @returns the new part of it, to be passed on */
  #receive(from: PeerName, message: ReplicaMessage<F>): ReplicaMessage<F> | undefined {
    switch (message.kind) {
      case "digest":
        if (message.digest !== this.digest) this.#unicast(from, { kind: "summary", origins: this.#records.summary() });
        return undefined;
      case "summary": {
        const { differing, wanted } = this.#compare(message.origins);
        if (differing.length > 0) this.#sendStates(from, differing);
        if (wanted.length > 0) this.#unicast(from, { kind: "want", origins: wanted });
        return undefined;
      }
      case "want":
        this.#sendStates(from, message.origins);
        return undefined;
      case "states": {
        const news = message.states.map((state) => this.#merge(state)).filter((state) => state !== undefined);
        return news.length === 0 ? undefined : { kind: "states", states: news };
      }
    }
  }

  /** Compares with another peer's summary. @returns the origins that differ or are missing there, and the origins to request */
  #compare(theirs: readonly OriginSummary[]): { differing: PeerName[]; wanted: PeerName[] } {
    const { self } = this.#options;
    const ours = new Map(this.#records.summary().map((each) => [each[0], each]));
    const wanted: PeerName[] = [];
    const differing = new Set(ours.keys());
    for (const [origin, incarnation, digest] of theirs) {
      const own = ours.get(origin);
      if (own !== undefined && own[1] === incarnation && own[2] === digest) differing.delete(origin);
      else if (origin === self && incarnation > this.#incarnation) this.#outlive(incarnation);
      // Another state of this peer in the same incarnation may be forged: that is checked when it is received.
      else if (origin !== self || incarnation === this.#incarnation) wanted.push(origin);
    }
    return { differing: [...differing], wanted };
  }

  /** Sends the states of origins in messages below the size limit. */
  #sendStates(to: PeerName, origins: readonly PeerName[]): void {
    let states: OriginState<F>[] = [];
    let bytes = 0;
    for (const origin of origins) {
      const state = this.#records.stateOf(origin);
      if (state === undefined) continue;
      bytes += this.#records.bytesOf(origin);
      if (states.length > 0 && bytes > MAX_ORIGIN_BYTES) {
        this.#unicast(to, { kind: "states", states });
        states = [];
        bytes = this.#records.bytesOf(origin);
      }
      states.push(state);
    }
    if (states.length > 0) this.#unicast(to, { kind: "states", states });
  }

  /** Merges a state. @returns the new part of it */
  #merge(state: OriginState<F>): OriginState<F> | undefined {
    const { origin, incarnation } = state;
    if (origin === this.#options.self && this.#channel !== undefined) {
      if (incarnation > this.#incarnation || this.#records.isForged(state)) this.#outlive(incarnation);
      return undefined;
    }
    // Peers that forget the origin later still send its records.
    if (this.#limit.wasForgotten(origin) && this.isUnreachable(origin)) return undefined;
    if (incarnation > this.#latestIncarnation() || !this.#limit.admits(origin)) {
      this.rejected++;
      return undefined;
    }
    return this.#records.merge(state);
  }

  /**
   * Begins a higher incarnation: other peers have records of this peer that it does not have itself. They are forged, or of an
   * incarnation before its clock was set back. With the new incarnation this peer's own records replace them.
   */
  #outlive(incarnation: number): void {
    if (incarnation > this.#latestIncarnation()) {
      this.rejected++;
      return;
    }
    const { log, format } = this.#options;
    this.#incarnation = successor(incarnation);
    log.warn("other peers had records of this peer that it does not have; they are replaced", { set: format.name });
    this.#mergeOwn(this.own());
  }

  /** Returns the highest incarnation that is plausible now. */
  #latestIncarnation(): number {
    const { time, clock } = this.#options;
    return (time?.() ?? clock.wall()) + MAX_AHEAD_MS;
  }

  #change(records: readonly Versioned<F>[]): void {
    if (records.length > 0) this.#mergeOwn(records);
  }

  #mergeOwn(records: readonly Versioned<F>[]): void {
    const state = { origin: this.#options.self, incarnation: this.#incarnation, horizon: 0, records };
    this.#records.merge(state);
    this.#gossip({ kind: "states", states: [state] });
  }

  /** Drops old tombstones and unknown origins. The new horizon is not urgent: repair delivers it. */
  #expire(): void {
    this.#limit.tidy();
    const before = Math.floor(this.#options.clock.wall() / 1_000) - TOMBSTONE_S;
    this.#records.expire(this.#options.self, before);
  }

  // ── Store and channel ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads the stored records of this peer, and numbers them for the new incarnation. */
  #load(): Versioned<F>[] {
    const { self, store, storePrefix } = this.#options;
    const shape = z.object(Object.fromEntries(this.#names.map((name) => [name, z.string()])));
    return store.list(storePrefix).map(([key, value]) => {
      const fields = checkStored(key, value, shape, "'weave reset' starts over without it.") as unknown as F;
      return { ...fields, origin: self, version: ++this.#version, tombstone: 0 };
    });
  }

  #storeKey(fields: F): string {
    return this.#options.storePrefix + this.#names.map((name) => fields[name]).join("/");
  }

  /** Returns the fields without version and origin, in order. */
  #plain(fields: F): F {
    return Object.fromEntries(this.#names.map((name) => [name, fields[name]])) as unknown as F;
  }

  #gossip(message: ReplicaMessage<F>): void {
    this.#channel?.gossip(this.#codec.encode(message));
  }

  #unicast(to: PeerName, message: ReplicaMessage<F>): void {
    this.#channel?.unicast(to, this.#codec.encode(message));
  }
}
