import { fold } from "#dns/name.js";
import type { PeerName } from "#mesh/peer.js";

/** A name of a container, on one host. */
export interface RecordKey {
  /** As typed, with a dot at its end. */
  readonly hostname: string;
  /** Dotted quad. */
  readonly address: string;
  readonly ident: string;
}

export interface DnsRecord extends RecordKey {
  readonly origin: PeerName;
  /** Counts what its origin has done in this life. */
  readonly version: number;
  /** Unix time in seconds when it was removed; 0 while it is alive. */
  readonly tombstone: number;
}

/** What one peer has said of its own names. */
export interface OriginState {
  readonly origin: PeerName;
  /** Of the peer's start: what it said in an earlier life is void. */
  readonly incarnation: number;
  /** Records up to this version that are not among {@link records} are gone: their tombstones have expired. */
  readonly horizon: number;
  readonly records: readonly DnsRecord[];
}

/** Records of one peer, tombstones too, and what they may take in a message: its limit is 10 MB. */
export const MAX_RECORDS = 65_536;
export const MAX_ORIGIN_BYTES = 8 << 20;
/** Records of all peers: some hundred megabytes, if a hostile peer gives all the longest names. */
export const MAX_TOTAL = 262_144;
/** What a record takes in a message beside its name and id: the names of its fields, the address, two counters. */
const FIXED_BYTES = 96;

interface Origin {
  bytes: number;
  incarnation: number;
  horizon: number;
  readonly records: Map<string, DnsRecord>;
}

const bytesOf = ({ hostname, ident }: RecordKey): number =>
  FIXED_BYTES + Buffer.byteLength(hostname) + Buffer.byteLength(ident);

const keyOf = ({ hostname, address, ident }: RecordKey): string => `${hostname} ${address} ${ident}`;

/**
 * The names of the whole network. Only its origin ever changes a record, and counts each change, so merging is a join:
 * of two lives of a peer the later holds; in one life, for each record, the higher version; and what is missing on one side
 * while its version is below that side's horizon is gone. Order, loss and repetition change nothing in the end, and no
 * clock is compared with another.
 */
export class Records {
  readonly #origins = new Map<PeerName, Origin>();
  /** Live records by folded name and by address: what questions ask for. */
  readonly #byName = new Map<string, Set<DnsRecord>>();
  readonly #byAddress = new Map<string, Set<DnsRecord>>();
  #live = 0;
  #total = 0;

  /** Live records of all peers. */
  get size(): number {
    return this.#live;
  }

  named(name: string): Iterable<DnsRecord> {
    return this.#byName.get(fold(name)) ?? [];
  }

  at(address: string): Iterable<DnsRecord> {
    return this.#byAddress.get(address) ?? [];
  }

  *all(): Generator<DnsRecord> {
    for (const { records } of this.#origins.values()) yield* records.values();
  }

  origins(): IterableIterator<PeerName> {
    return this.#origins.keys();
  }

  get(origin: PeerName, key: RecordKey): DnsRecord | undefined {
    return this.#origins.get(origin)?.records.get(keyOf(key));
  }

  has(origin: PeerName): boolean {
    return this.#origins.has(origin);
  }

  /** Peers that records are kept of. */
  get originCount(): number {
    return this.#origins.size;
  }

  /** Whether one more record of a peer can be kept, and sent to others. */
  hasRoom(origin: PeerName, key: RecordKey): boolean {
    const known = this.#origins.get(origin);
    return known === undefined || this.#fits(known, key);
  }

  /** What the records of a peer take in a message. */
  bytesOf(origin: PeerName): number {
    return FIXED_BYTES + (this.#origins.get(origin)?.bytes ?? 0);
  }

  /** Whether another peer's word on us contradicts ours: nobody but us makes such records. */
  isForged(own: OriginState): boolean {
    const known = this.#origins.get(own.origin);
    if (known === undefined || own.incarnation !== known.incarnation) return false;
    return (
      own.horizon > known.horizon ||
      own.records.some((record) => {
        const was = known.records.get(keyOf(record));
        if (was === undefined) return record.version > known.horizon;
        return record.version > was.version || (record.version === was.version && record.tombstone !== was.tombstone);
      })
    );
  }

  stateOf(origin: PeerName): OriginState | undefined {
    const found = this.#origins.get(origin);
    return (
      found && { origin, incarnation: found.incarnation, horizon: found.horizon, records: [...found.records.values()] }
    );
  }

  /** Merges what is known of a peer. @returns what of it was news; undefined when nothing was */
  merge(state: OriginState): OriginState | undefined {
    const { origin, incarnation } = state;
    let known = this.#origins.get(origin);
    if (known !== undefined && known.incarnation > incarnation) return undefined;
    const isNew = known === undefined || known.incarnation < incarnation;
    if (isNew) {
      this.drop(origin);
      known = { bytes: 0, incarnation, horizon: 0, records: new Map() };
      this.#origins.set(origin, known);
    }
    const { records, horizon } = known!;
    const news: DnsRecord[] = [];
    for (const record of state.records) {
      const key = keyOf(record);
      const was = records.get(key);
      if (was === undefined ? record.version <= horizon : was.version >= record.version) continue;
      if (was === undefined && !this.#fits(known!, record)) continue;
      this.#set(known!, key, { ...record, origin });
      news.push(record);
    }
    const raised = state.horizon > horizon;
    if (raised) {
      const theirs = new Set(state.records.map(keyOf));
      for (const [key, record] of records)
        if (record.version <= state.horizon && !theirs.has(key)) this.#unset(known!, key);
      known!.horizon = state.horizon;
    }
    // A raised horizon makes sense only with all that is still there.
    if (raised) return state;
    return isNew || news.length > 0 ? { ...state, horizon: 0, records: news } : undefined;
  }

  /** Forgets a peer and its names. */
  drop(origin: PeerName): void {
    const known = this.#origins.get(origin);
    if (known === undefined) return;
    for (const key of [...known.records.keys()]) this.#unset(known, key);
    this.#origins.delete(origin);
  }

  /** Drops tombstones of our own that were set before a time, and raises the horizon above them. @returns whether any were */
  expire(origin: PeerName, before: number): boolean {
    const known = this.#origins.get(origin);
    if (known === undefined) return false;
    let any = false;
    for (const [key, { tombstone, version }] of known.records) {
      if (tombstone === 0 || tombstone >= before) continue;
      this.#unset(known, key);
      known.horizon = Math.max(known.horizon, version);
      any = true;
    }
    return any;
  }

  #fits({ records, bytes }: Origin, key: RecordKey): boolean {
    return records.size < MAX_RECORDS && bytes + bytesOf(key) <= MAX_ORIGIN_BYTES && this.#total < MAX_TOTAL;
  }

  #set(origin: Origin, key: string, record: DnsRecord): void {
    this.#unset(origin, key);
    origin.records.set(key, record);
    origin.bytes += bytesOf(record);
    this.#total++;
    if (record.tombstone !== 0) return;
    this.#live++;
    index(this.#byName, fold(record.hostname), record);
    index(this.#byAddress, record.address, record);
  }

  #unset(origin: Origin, key: string): void {
    const was = origin.records.get(key);
    if (was === undefined) return;
    origin.records.delete(key);
    origin.bytes -= bytesOf(was);
    this.#total--;
    if (was.tombstone !== 0) return;
    this.#live--;
    unindex(this.#byName, fold(was.hostname), was);
    unindex(this.#byAddress, was.address, was);
  }
}

function index(map: Map<string, Set<DnsRecord>>, key: string, record: DnsRecord): void {
  const found = map.get(key);
  if (found === undefined) map.set(key, new Set([record]));
  else found.add(record);
}

function unindex(map: Map<string, Set<DnsRecord>>, key: string, record: DnsRecord): void {
  const found = map.get(key);
  found?.delete(record);
  if (found?.size === 0) map.delete(key);
}
