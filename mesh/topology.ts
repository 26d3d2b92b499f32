import { createHash } from "node:crypto";
import { MAX_COUNT, successor } from "#mesh/counter.js";
import {
  leadsTo,
  MAX_PEERS,
  type PeerDelta,
  type PeerIdentity,
  type PeerLink,
  type PeerName,
  type PeerRecord,
} from "#mesh/peer.js";
import { limitSize } from "#src/limit-size.js";
import { compareText } from "#src/text.js";

/** Time for which an unreachable peer is kept, with its addresses and names: longer than a reboot with a disk check. */
export const FORGET_AFTER_MS = 15 * 60_000;
/** Maximum number of conflicts kept for status; the oldest is dropped first. */
const MAX_CONFLICTS = 64;

/** A record in short: name, incarnation, version, {@link contentHash}. */
export type SummaryEntry = readonly [PeerName, number, number, string];

/** The result of {@link Topology.merge}. */
export interface Merged {
  /** New records and deltas, to be passed on. */
  readonly news: readonly (PeerRecord | PeerDelta)[];
  /** Peers whose delta does not follow the known version: their whole record must be requested. */
  readonly wanted: readonly PeerName[];
  /** Number of items with implausible counters. */
  readonly rejected: number;
}

/** Two keys for one name of a reachable peer. The received record was rejected. */
export interface NameConflict {
  readonly kept: PeerIdentity;
  readonly refused: PeerIdentity;
}

/** Peers whose reachability has changed. */
export interface ReachabilityChange {
  readonly suspended: readonly PeerName[];
  readonly resumed: readonly PeerName[];
  readonly forgotten: readonly PeerName[];
}

/** Whether an item is a delta, and not a whole record. */
export const isDelta = (item: PeerRecord | PeerDelta): item is PeerDelta => "from" in item;

/**
 * The records of all peers. Only the peer itself changes its record, and counts its versions. Of two records of a peer the one
 * with the higher incarnation wins, then the higher version, then (if one is forged) the higher hash of the content: merging is
 * commutative and idempotent. Records with different keys belong to different machines, whose incarnations cannot be compared:
 * a reachable one is kept, an unreachable one is replaced.
 *
 *                 links lead to it                    15 min unreachable
 *   (unknown) ──▶ reachable ◀────────▶ suspended ──────────────────────────▶ forgotten
 *                            no link leads to it
 *
 * Digest and summary contain only reachable peers: peers forget others at different times, and must not restore forgotten ones.
 */
export class Topology {
  readonly #records = new Map<PeerName, PeerRecord>();
  /** Unreachable peers, and the monotonic time since when. */
  readonly #suspended = new Map<PeerName, number>();
  /** Peers that have been reachable: only their changes are reported. */
  readonly #reached = new Set<PeerName>();
  readonly #conflicts = new Map<string, NameConflict & { readonly at: number }>();
  readonly #latest: () => number;
  #self: PeerRecord;
  #digest: string | undefined;
  /** Monotonic time of the last {@link updateReachability}. */
  #now = 0;

  /** @param latest returns the highest incarnation that is plausible now */
  constructor(self: PeerIdentity, latest: () => number = () => MAX_COUNT) {
    this.#latest = latest;
    this.#self = { ...self, version: 1, links: [] };
    this.#records.set(self.name, this.#self);
  }

  get self(): PeerRecord {
    return this.#self;
  }

  /** Sets this peer's links. @returns the delta to announce; undefined if nothing has changed */
  setLinks(all: readonly PeerLink[]): PeerDelta | undefined {
    const links = all.slice(0, MAX_PEERS);
    const before = new Map(this.#self.links.map((link) => [link.to, link]));
    const set = links.filter((link) => !sameLink(before.get(link.to), link));
    const drop = this.#self.links.filter((link) => !links.some((now) => now.to === link.to)).map((link) => link.to);
    if (set.length === 0 && drop.length === 0) return undefined;
    const delta: PeerDelta = {
      name: this.#self.name,
      incarnation: this.#self.incarnation,
      from: this.#self.version,
      to: successor(this.#self.version),
      set,
      drop,
    };
    this.#setSelf({ ...this.#self, version: delta.to, links: inOrder(links) });
    return delta;
  }

  /** Merges received items. It never throws: items with implausible counters are rejected and counted. */
  merge(items: readonly (PeerRecord | PeerDelta)[]): Merged {
    const news: (PeerRecord | PeerDelta)[] = [];
    const wanted: PeerName[] = [];
    const latest = this.#latest();
    let rejected = 0;
    for (const item of items) {
      if (item.incarnation > latest) rejected++;
      else if (item.name === this.#self.name) this.#mergeOwn(item, news);
      else if (isDelta(item)) this.#mergeDelta(item, news, wanted);
      else this.#mergeRecord(item, news, latest);
    }
    return { news, wanted, rejected };
  }

  get(name: PeerName): PeerRecord | undefined {
    return this.#records.get(name);
  }

  isSuspended(name: PeerName): boolean {
    return this.#suspended.has(name);
  }

  /** Returns the records of reachable peers, this one among them. */
  reachable(): PeerRecord[] {
    return [...this.#records.values()].filter((record) => !this.#suspended.has(record.name));
  }

  /** Number of reachable peers, this one among them. */
  get reachableCount(): number {
    return this.#records.size - this.#suspended.size;
  }

  suspended(): PeerRecord[] {
    return [...this.#records.values()].filter((record) => this.#suspended.has(record.name));
  }

  conflicts(): NameConflict[] {
    return [...this.#conflicts.values()];
  }

  /** Computes which peers are reachable, and drops peers that were unreachable for long. Must be called after each change. @param now monotonic milliseconds */
  updateReachability(now: number): ReachabilityChange {
    this.#now = now;
    for (const [key, { at }] of this.#conflicts) if (now - at >= FORGET_AFTER_MS) this.#conflicts.delete(key);
    const found = new Set<PeerName>([this.#self.name]);
    const queue: PeerRecord[] = [this.#self];
    for (let record = queue.pop(); record !== undefined; record = queue.pop()) {
      for (const link of record.links) {
        const next = this.#records.get(link.to);
        if (next === undefined || found.has(link.to) || !leadsTo(link, next)) continue;
        found.add(link.to);
        queue.push(next);
      }
    }
    const suspended: PeerName[] = [];
    const resumed: PeerName[] = [];
    const forgotten: PeerName[] = [];
    for (const name of this.#records.keys()) {
      const since = this.#suspended.get(name);
      if (found.has(name)) {
        if (since !== undefined && this.#reached.has(name)) resumed.push(name);
        this.#suspended.delete(name);
        this.#reached.add(name);
      } else if (since === undefined) {
        this.#suspended.set(name, now);
        if (this.#reached.has(name)) suspended.push(name);
      } else if (now - since >= FORGET_AFTER_MS) forgotten.push(name);
    }
    for (const name of forgotten) {
      this.#records.delete(name);
      this.#suspended.delete(name);
      this.#reached.delete(name);
    }
    this.#digest = undefined;
    return { suspended, resumed, forgotten };
  }

  /** Returns a hash that is equal at two peers with the same records of reachable peers. */
  digest(): string {
    if (this.#digest === undefined) {
      const hash = createHash("sha256");
      for (const entry of this.summary()) hash.update(`${entry.join(" ")}\n`);
      this.#digest = hash.digest("hex").slice(0, 32);
    }
    return this.#digest;
  }

  /** Returns the entries of reachable peers, sorted by name, without records whose incarnation is implausible now. */
  summary(): SummaryEntry[] {
    const latest = this.#latest();
    return this.reachable()
      .filter(({ incarnation }) => incarnation <= latest)
      .map((record): SummaryEntry => [record.name, record.incarnation, record.version, contentHash(record)])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Compares with another peer's summary. @returns the records that the other peer lacks, and the names of records that this peer lacks */
  compare(theirs: readonly SummaryEntry[]): { lacking: PeerRecord[]; wanted: PeerName[] } {
    const known = new Map(theirs.map((entry) => [entry[0], entry]));
    const latest = this.#latest();
    const lacking = this.reachable().filter((record) => {
      const entry = known.get(record.name);
      return record.incarnation <= latest && (entry === undefined || order(entryOf(record), entry) > 0);
    });
    const wanted = theirs
      .filter((entry) => {
        if (entry[1] > latest) return false;
        const ours = this.#records.get(entry[0]);
        return ours === undefined || ours.incarnation > latest || order(entry, entryOf(ours)) > 0;
      })
      .map(([name]) => name);
    return { lacking, wanted };
  }

  #mergeRecord(record: PeerRecord, news: (PeerRecord | PeerDelta)[], latest: number): void {
    const ours = this.#records.get(record.name);
    if (ours === undefined) {
      if (this.#records.size >= MAX_PEERS && !this.#makeRoom()) return;
    } else if (ours.key !== record.key) {
      // Another machine has the name now. Its clock may be behind: incarnations are not compared.
      if (!this.#suspended.has(record.name)) return this.#noteConflict(ours, record);
    } else if (ours.incarnation <= latest && order(entryOf(record), entryOf(ours)) <= 0) return;
    this.#records.set(record.name, record);
    this.#digest = undefined;
    news.push(record);
  }

  #mergeDelta(delta: PeerDelta, news: (PeerRecord | PeerDelta)[], wanted: PeerName[]): void {
    const ours = this.#records.get(delta.name);
    if (
      ours !== undefined &&
      (delta.incarnation < ours.incarnation || (delta.incarnation === ours.incarnation && delta.to <= ours.version))
    )
      return;
    if (
      ours === undefined ||
      delta.incarnation !== ours.incarnation ||
      delta.from !== ours.version ||
      delta.to !== delta.from + 1
    ) {
      wanted.push(delta.name);
      return;
    }
    const links = new Map(ours.links.map((link) => [link.to, link]));
    for (const name of delta.drop) links.delete(name);
    for (const link of delta.set) links.set(link.to, link);
    if (links.size > MAX_PEERS) return;
    this.#records.set(delta.name, { ...ours, version: delta.to, links: inOrder(links.values()) });
    this.#digest = undefined;
    news.push(delta);
  }

  /**
   * Handles a received record of this peer. If the own record does not supersede it, it is forged, or of an earlier run before
   * the clock was set back or a disk was restored. This peer then begins a higher incarnation, which wins at all peers.
   */
  #mergeOwn(item: PeerRecord | PeerDelta, news: (PeerRecord | PeerDelta)[]): void {
    const self = this.#self;
    if (!isDelta(item) && item.key !== self.key) return this.#noteConflict(self, item);
    if (item.incarnation < self.incarnation) return;
    if (item.incarnation === self.incarnation) {
      if (isDelta(item) ? item.to <= self.version : item.uid === self.uid && item.version < self.version) return;
      if (!isDelta(item) && item.version === self.version && contentHash(item) === contentHash(self)) return;
    }
    this.#setSelf({ ...self, incarnation: successor(item.incarnation), version: 1 });
    news.push(this.#self);
  }

  /** Drops an unreachable peer to make room for a new one. @returns false if there is none */
  #makeRoom(): boolean {
    const [name] = this.#suspended.keys();
    if (name === undefined) return false;
    this.#records.delete(name);
    this.#suspended.delete(name);
    return true;
  }

  #noteConflict(kept: PeerIdentity, refused: PeerIdentity): void {
    this.#conflicts.set(`${kept.name} ${refused.key}`, { kept, refused, at: this.#now });
    limitSize(this.#conflicts, MAX_CONFLICTS);
  }

  #setSelf(record: PeerRecord): void {
    this.#self = record;
    this.#records.set(record.name, record);
    this.#digest = undefined;
  }
}

/** Sorts links by name: the content of a record does not depend on their order of arrival. */
function inOrder(links: Iterable<PeerLink>): PeerLink[] {
  return [...links].sort((a, b) => (a.to < b.to ? -1 : 1));
}

function sameLink(a: PeerLink | undefined, b: PeerLink): boolean {
  return (
    a !== undefined &&
    a.key === b.key &&
    a.address === b.address &&
    a.outbound === b.outbound &&
    a.established === b.established
  );
}

const entryOf = (record: PeerRecord): SummaryEntry => [
  record.name,
  record.incarnation,
  record.version,
  contentHash(record),
];

/** Compares two entries of a peer. @returns a positive number when `a` supersedes `b` */
function order(a: SummaryEntry, b: SummaryEntry): number {
  return a[1] - b[1] || a[2] - b[2] || compareText(a[3], b[3]);
}

const hashes = new WeakMap<PeerRecord, string>();

/** Returns a hash of the whole record, 16 hexadecimal digits. It distinguishes two records with one version. */
function contentHash(record: PeerRecord): string {
  let hash = hashes.get(record);
  if (hash === undefined) {
    const { name, nickname, identity, key, uid, incarnation, version, links } = record;
    const rows = links.map((link) => [link.to, link.key, link.address, link.outbound, link.established]);
    const text = JSON.stringify([name, nickname, identity, key, uid, incarnation, version, rows]);
    hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
    hashes.set(record, hash);
  }
  return hash;
}
