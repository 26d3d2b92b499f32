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
import { compareText } from "#src/text.js";

/** An unreachable peer is kept this long, with its addresses and names: longer than a reboot with a disk check. */
export const FORGET_AFTER_MS = 15 * 60_000;
/** Conflicts kept for status; the oldest is dropped first. */
const MAX_CONFLICTS = 64;

/** [name, incarnation, version, {@link contentHash}] */
export type SummaryEntry = readonly [PeerName, number, number, string];

export interface Merged {
  /** Records and deltas that were new, to be passed on. */
  readonly news: readonly (PeerRecord | PeerDelta)[];
  /** Peers whose delta does not follow the version that we have: their whole record is needed. */
  readonly wanted: readonly PeerName[];
  /** Items with impossible counters. */
  readonly rejected: number;
}

/** Two keys for one name in use: the received record is rejected. */
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

export const isDelta = (item: PeerRecord | PeerDelta): item is PeerDelta => "from" in item;

/**
 * The records of all peers. Each peer alone writes its record, and counts its versions; of two records of one peer the later
 * incarnation wins, then the higher version, then (where one is forged) the higher hash of the contents. So merging is
 * commutative and idempotent, in any order of arrival. Records with different keys belong to different machines, whose
 * incarnations cannot be compared: of these the one that links lead to stays.
 *
 *                 links lead to it                    15 min unreachable
 *   (unknown) ──▶ reachable ◀────────▶ suspended ──────────────────────────▶ forgotten
 *                            no link leads to it
 *
 * Digest and summary cover the reachable part only: peers forget at different times, and must not restore what others forgot.
 */
export class Topology {
  readonly #records = new Map<PeerName, PeerRecord>();
  /** Unreachable peers, with the time since when. */
  readonly #suspended = new Map<PeerName, number>();
  /** Peers that were reachable at some time: only their changes are reported. */
  readonly #reached = new Set<PeerName>();
  readonly #conflicts = new Map<string, NameConflict & { readonly at: number }>();
  readonly #latest: () => number;
  #self: PeerRecord;
  #digest: string | undefined;
  /** Of the last {@link updateReachability}. */
  #now = 0;

  /** @param latest the latest incarnation that is possible now */
  constructor(self: PeerIdentity, latest: () => number = () => MAX_COUNT) {
    this.#latest = latest;
    this.#self = { ...self, version: 1, links: [] };
    this.#records.set(self.name, this.#self);
  }

  get self(): PeerRecord {
    return this.#self;
  }

  /** Changes our own links. @returns the delta to announce; undefined if nothing changed */
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

  /** Merges received items. It never fails: impossible items are rejected and counted. */
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

  /** Peers that links lead to, this one among them. */
  reachable(): PeerRecord[] {
    return [...this.#records.values()].filter((record) => !this.#suspended.has(record.name));
  }

  suspended(): PeerRecord[] {
    return [...this.#records.values()].filter((record) => this.#suspended.has(record.name));
  }

  conflicts(): NameConflict[] {
    return [...this.#conflicts.values()];
  }

  /** Computes which peers are reachable, and drops those that were not for too long. To be called after every change. */
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

  /** Equal at two peers with the same records. */
  digest(): string {
    if (this.#digest === undefined) {
      const hash = createHash("sha256");
      for (const entry of this.summary()) hash.update(`${entry.join(" ")}\n`);
      this.#digest = hash.digest("hex").slice(0, 32);
    }
    return this.#digest;
  }

  /** The versions of our reachable records, sorted by name; without incarnations that have become impossible. */
  summary(): SummaryEntry[] {
    const latest = this.#latest();
    return this.reachable()
      .filter(({ incarnation }) => incarnation <= latest)
      .map((record): SummaryEntry => [record.name, record.incarnation, record.version, contentHash(record)])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Compares with another peer's summary. @returns the records that it lacks, and the names of those that we lack */
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
      // A machine with another key has the name now, perhaps with a slow clock: incarnations are not compared.
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
   * Another peer holds a record of this one that ours does not supersede: of an earlier run (perhaps the clock was set back,
   * or a disk restored), or forged. A later incarnation makes ours the latest everywhere.
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

  /** Drops an unreachable peer in favour of a reachable one. */
  #makeRoom(): boolean {
    const [name] = this.#suspended.keys();
    if (name === undefined) return false;
    this.#records.delete(name);
    this.#suspended.delete(name);
    return true;
  }

  #noteConflict(kept: PeerIdentity, refused: PeerIdentity): void {
    this.#conflicts.set(`${kept.name} ${refused.key}`, { kept, refused, at: this.#now });
    if (this.#conflicts.size > MAX_CONFLICTS) this.#conflicts.delete(this.#conflicts.keys().next().value as string);
  }

  #setSelf(record: PeerRecord): void {
    this.#self = record;
    this.#records.set(record.name, record);
    this.#digest = undefined;
  }
}

/** By name: the same links then make the same record, in any order of arrival. */
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

/** Positive when `a` supersedes `b`. */
function order(a: SummaryEntry, b: SummaryEntry): number {
  return a[1] - b[1] || a[2] - b[2] || compareText(a[3], b[3]);
}

const hashes = new WeakMap<PeerRecord, string>();

/** A hash of the whole record, 16 hexadecimal digits: it distinguishes two contents under one version. */
export function contentHash(record: PeerRecord): string {
  let hash = hashes.get(record);
  if (hash === undefined) {
    const { name, nickname, key, uid, incarnation, version, links } = record;
    const rows = links.map((link) => [link.to, link.key, link.address, link.outbound, link.established]);
    const text = JSON.stringify([name, nickname, key, uid, incarnation, version, rows]);
    hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
    hashes.set(record, hash);
  }
  return hash;
}
