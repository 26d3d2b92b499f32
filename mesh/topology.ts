import { createHash } from "node:crypto";
import type { PeerDelta, PeerIdentity, PeerLink, PeerName, PeerRecord } from "#mesh/peer.js";

/** A peer out of reach is kept this long: longer than a reboot with a disk check. Its addresses and names wait with it. */
export const FORGET_AFTER_MS = 15 * 60_000;
/** Records kept at all, those of peers out of reach included: what a hostile peer can make us hold. */
export const MAX_RECORDS = 8_192;
/** Conflicts remembered for status; the oldest goes first. */
const MAX_CONFLICTS = 64;

/** [name, incarnation, version] */
export type SummaryEntry = readonly [PeerName, number, number];

export interface Merged {
  /** Records and deltas that were new to us: to be passed on. */
  readonly news: readonly (PeerRecord | PeerDelta)[];
  /** Peers whose delta does not follow what we have: their whole record is needed. */
  readonly wanted: readonly PeerName[];
}

/** Two keys for one live name: what was heard is set aside. */
export interface NameConflict {
  readonly kept: PeerIdentity;
  readonly refused: PeerIdentity;
}

export interface Reach {
  readonly suspended: readonly PeerName[];
  readonly resumed: readonly PeerName[];
  readonly forgotten: readonly PeerName[];
}

export const isDelta = (item: PeerRecord | PeerDelta): item is PeerDelta => "from" in item;

/**
 * What is known of all peers. Each peer alone writes its record, with a version; of two records of one peer the later
 * incarnation wins, then the higher version. So merging is commutative and idempotent, whatever the order of arrival.
 *
 *                 links lead to it                    15 min out of reach
 *   (unknown) ──▶ reachable ◀────────▶ suspended ──────────────────────────▶ forgotten
 *                            no link leads to it
 *
 * Digest and summary cover the reachable part only: peers forget at different times, and must not remind one another.
 */
export class Topology {
  readonly #records = new Map<PeerName, PeerRecord>();
  /** Out of reach, and since when. */
  readonly #suspended = new Map<PeerName, number>();
  /** Were within reach at some time: only their going and coming is news. */
  readonly #reached = new Set<PeerName>();
  readonly #conflicts = new Map<string, NameConflict>();
  #self: PeerRecord;
  #digest: string | undefined;

  constructor(self: PeerIdentity) {
    this.#self = { ...self, version: 1, links: [] };
    this.#records.set(self.name, this.#self);
  }

  get self(): PeerRecord {
    return this.#self;
  }

  /** Changes our own links. Undefined when nothing changed; else the delta to announce. */
  setLinks(links: readonly PeerLink[]): PeerDelta | undefined {
    const before = new Map(this.#self.links.map((link) => [link.to, link]));
    const set = links.filter((link) => !sameLink(before.get(link.to), link));
    const drop = this.#self.links.filter((link) => !links.some((now) => now.to === link.to)).map((link) => link.to);
    if (set.length === 0 && drop.length === 0) return undefined;
    const delta: PeerDelta = {
      name: this.#self.name,
      incarnation: this.#self.incarnation,
      from: this.#self.version,
      to: this.#self.version + 1,
      set,
      drop,
    };
    this.#setSelf({ ...this.#self, version: delta.to, links: inOrder(links) });
    return delta;
  }

  /** Takes what was heard. Nothing that is heard makes it fail: what contradicts is set aside and counted. */
  merge(items: readonly (PeerRecord | PeerDelta)[]): Merged {
    const news: (PeerRecord | PeerDelta)[] = [];
    const wanted: PeerName[] = [];
    for (const item of items) {
      if (item.name === this.#self.name) this.#heardOfSelf(item, news);
      else if (isDelta(item)) this.#mergeDelta(item, news, wanted);
      else this.#mergeRecord(item, news);
    }
    return { news, wanted };
  }

  get(name: PeerName): PeerRecord | undefined {
    return this.#records.get(name);
  }

  isSuspended(name: PeerName): boolean {
    return this.#suspended.has(name);
  }

  /** Peers that links lead to, ourselves among them. */
  reachable(): PeerRecord[] {
    return [...this.#records.values()].filter((record) => !this.#suspended.has(record.name));
  }

  suspended(): PeerRecord[] {
    return [...this.#records.values()].filter((record) => this.#suspended.has(record.name));
  }

  conflicts(): NameConflict[] {
    return [...this.#conflicts.values()];
  }

  /** Works out anew who can be reached, and forgets who could not for long. To be called after every change. */
  updateReach(now: number): Reach {
    const found = new Set<PeerName>([this.#self.name]);
    const queue: PeerRecord[] = [this.#self];
    for (let record = queue.pop(); record !== undefined; record = queue.pop()) {
      for (const { to } of record.links) {
        const next = this.#records.get(to);
        if (next === undefined || found.has(to)) continue;
        found.add(to);
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

  /** Equal at two peers that know the same. */
  digest(): string {
    if (this.#digest === undefined) {
      const hash = createHash("sha256");
      for (const entry of this.summary()) hash.update(`${entry.join(" ")}\n`);
      this.#digest = hash.digest("hex").slice(0, 32);
    }
    return this.#digest;
  }

  /** What we have, sorted by name. */
  summary(): SummaryEntry[] {
    return this.reachable()
      .map((record): SummaryEntry => [record.name, record.incarnation, record.version])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Compares with another's summary: the records that it lacks, and the names of those that we lack. */
  compare(theirs: readonly SummaryEntry[]): { lacking: PeerRecord[]; wanted: PeerName[] } {
    const known = new Map(theirs.map((entry) => [entry[0], entry]));
    const lacking = this.reachable().filter((record) => {
      const entry = known.get(record.name);
      return entry === undefined || isNewer(record, entry[1], entry[2]);
    });
    const wanted = theirs
      .filter(([name, incarnation, version]) => {
        const ours = this.#records.get(name);
        return (
          ours === undefined ||
          incarnation > ours.incarnation ||
          (incarnation === ours.incarnation && version > ours.version)
        );
      })
      .map(([name]) => name);
    return { lacking, wanted };
  }

  #mergeRecord(record: PeerRecord, news: (PeerRecord | PeerDelta)[]): void {
    const ours = this.#records.get(record.name);
    if (ours !== undefined && ours.key !== record.key && !this.#suspended.has(record.name)) {
      this.#setAside(ours, record);
      return;
    }
    if (ours !== undefined && !isNewer(record, ours.incarnation, ours.version)) return;
    if (ours === undefined && this.#records.size >= MAX_RECORDS) return;
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
    this.#records.set(delta.name, { ...ours, version: delta.to, links: inOrder(links.values()) });
    this.#digest = undefined;
    news.push(delta);
  }

  /** Somebody holds a record of ourselves that is not behind ours: from an earlier life. We go beyond it. */
  #heardOfSelf(item: PeerRecord | PeerDelta, news: (PeerRecord | PeerDelta)[]): void {
    if (!isDelta(item) && item.key !== this.#self.key) {
      this.#setAside(this.#self, item);
      return;
    }
    const version = isDelta(item) ? item.to : item.version;
    const same = item.incarnation === this.#self.incarnation && version <= this.#self.version;
    if (item.incarnation < this.#self.incarnation || (same && (isDelta(item) || item.uid === this.#self.uid))) return;
    this.#setSelf({ ...this.#self, incarnation: Math.max(item.incarnation, this.#self.incarnation) + 1, version: 1 });
    news.push(this.#self);
  }

  #setAside(kept: PeerIdentity, refused: PeerIdentity): void {
    this.#conflicts.set(`${kept.name} ${refused.key}`, { kept, refused });
    if (this.#conflicts.size > MAX_CONFLICTS) this.#conflicts.delete(this.#conflicts.keys().next().value as string);
  }

  #setSelf(record: PeerRecord): void {
    this.#self = record;
    this.#records.set(record.name, record);
    this.#digest = undefined;
  }
}

/** By name: the same links are then the same record, whatever way they came. */
function inOrder(links: Iterable<PeerLink>): PeerLink[] {
  return [...links].sort((a, b) => (a.to < b.to ? -1 : 1));
}

function sameLink(a: PeerLink | undefined, b: PeerLink): boolean {
  return a !== undefined && a.address === b.address && a.outbound === b.outbound && a.established === b.established;
}

function isNewer(record: { incarnation: number; version: number }, incarnation: number, version: number): boolean {
  return record.incarnation > incarnation || (record.incarnation === incarnation && record.version > version);
}
