import { fold, inDomain, parseName } from "#dns/name.js";
import { compareNames, NAME_FORMAT, type NameFields, type NameRecord } from "#dns/name-record.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { RecordIndex } from "#mesh/replica/record-index.js";
import { Replica } from "#mesh/replica/replica.js";
import { type Replicas, SET_BYTES } from "#mesh/replica/replicas.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import type { Store } from "#src/store.js";

/** The gossip channel of names. */
export const DNS_CHANNEL = "nameserver";

/** Records of one name or address that count, of each peer: more than containers on a host. A hostile peer may have thousands. */
const MAX_OF_PEER = 1_024;
/** Number of addresses of a name after which those of no other peer are added: the longest DNS message has fewer. */
const ENOUGH = 4_096;

/** Selects records by their fields; an absent field matches all records. */
export type NameMatch = Partial<NameFields>;

export interface NameserverDeps {
  readonly self: PeerName;
  /** Grows with each start of this peer. */
  readonly incarnation: number;
  /** The domain of all names: folded, with a final dot. */
  readonly domain: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  /** Prefix of the keys in the store. */
  readonly prefix: string;
  readonly peers: KnownPeers;
  readonly replicas: Replicas;
  /** Returns the network's time, in milliseconds since the Unix epoch; the host's clock by default. */
  readonly time?: () => number;
}

/** The names of all containers on all hosts. Each peer has a full replica. */
export class Nameserver {
  readonly domain: string;
  readonly #random: Random;
  readonly #log: Log;
  readonly #byName = new RecordIndex<NameFields>(({ hostname }) => fold(hostname));
  readonly #byAddress = new RecordIndex<NameFields>(({ address }) => address);
  readonly #replica: Replica<NameFields>;

  /** @throws WEAVE_STORE when a stored name is damaged */
  constructor(deps: NameserverDeps) {
    this.domain = deps.domain;
    this.#random = deps.random;
    this.#log = deps.log;
    const indexes = [this.#byName, this.#byAddress];
    const shareBytes = SET_BYTES.names;
    this.#replica = new Replica({ ...deps, format: NAME_FORMAT, storePrefix: deps.prefix, shareBytes, indexes });
  }

  /** The receiving end of the channel. */
  get gossiper(): Gossiper {
    return this.#replica;
  }

  /** Sets the sending end of the channel, and gossips this peer's names. */
  open(channel: GossipChannel): void {
    this.#replica.open(channel);
  }

  stop(): void {
    this.#replica.stop();
  }

  // ── Names ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Adds a name for an address of a container.
   *
   * @returns false when the name is outside the domain: it is ignored, as in Weave Net
   * @throws WEAVE_DNS_NAME; WEAVE_STORE
   */
  add(ident: string, address: string, hostname: string): boolean {
    const name = parseName(hostname);
    if (!inDomain(fold(name), this.domain) || fold(name) === this.domain) {
      this.#log.info("a name outside the domain was ignored", { name, domain: this.domain });
      return false;
    }
    if (!this.#replica.add({ hostname: name, address, ident }))
      throw new WeaveError("WEAVE_DNS_NAME", "the limit of names of this peer, or of the network, is reached");
    return true;
  }

  /** Removes names of this peer. @returns the number of removed names @throws WEAVE_STORE, WEAVE_DNS_NAME */
  remove(match: NameMatch): number {
    const hostname = match.hostname === undefined ? undefined : fold(parseName(match.hostname));
    return this.#replica.remove(
      (record) =>
        (match.ident === undefined || match.ident === record.ident) &&
        (match.address === undefined || match.address === record.address) &&
        (hostname === undefined || hostname === fold(record.hostname)),
    );
  }

  /**
   * Returns the addresses of a name in random order. Addresses at unreachable peers are returned only if there are no others.
   *
   * @returns undefined for an unknown name
   */
  lookup(name: string): string[] | undefined {
    const near = new Set<string>();
    const far = new Set<string>();
    for (const [origin, records] of this.#byName.byOrigin(fold(name))) {
      const found = this.isUnreachable(origin) ? far : near;
      if (found.size < ENOUGH) for (const { address } of first(records)) found.add(address);
    }
    const found = near.size > 0 ? near : far;
    return found.size === 0 ? undefined : this.#shuffle([...found]);
  }

  /** Returns the name of an address: the first in order, preferably one of a reachable peer. */
  reverse(address: string): string | undefined {
    let best: NameRecord | undefined;
    let isFar = true;
    for (const [origin, records] of this.#byAddress.byOrigin(address)) {
      const far = this.isUnreachable(origin);
      if (far && !isFar) continue;
      if (isFar && !far) best = undefined;
      isFar = far;
      for (const record of first(records)) if (best === undefined || compareNames(record, best) < 0) best = record;
    }
    return best?.hostname;
  }

  /** Whether a peer is unreachable. Its names are kept for a while, and other names are preferred. */
  isUnreachable(origin: PeerName): boolean {
    return this.#replica.isUnreachable(origin);
  }

  /** Drops the names of a peer that was unreachable for long. The peer sends them again when it returns. */
  forget(peer: PeerName): void {
    this.#replica.forget(peer);
  }

  // ── Status ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Records of all peers, tombstones included, in the order of Weave Net's lists. */
  get records(): NameRecord[] {
    return [...this.#replica.all()].sort(compareNames);
  }

  /** Number of live records of all peers. */
  get size(): number {
    return this.#replica.size;
  }

  /** Number of live records of this peer. */
  get ownSize(): number {
    return this.#replica.own().length;
  }

  /** Ids of the containers that have names at this peer. */
  get ownIdents(): Set<string> {
    return new Set(this.#replica.own().map(({ ident }) => ident));
  }

  /** Returns the live records of a container at this peer. */
  namesOf(ident: string): NameRecord[] {
    return this.#replica.own().filter((record) => record.ident === ident);
  }

  /** Ids of the containers that have a name at this peer. @param name folded, with a final dot */
  ownIdentsOf(name: string): string[] {
    return this.#replica
      .own()
      .filter(({ hostname }) => fold(hostname) === name)
      .map(({ ident }) => ident);
  }

  /** A hash that is equal at two peers with the same names. */
  get digest(): string {
    return this.#replica.digest;
  }

  #shuffle(list: string[]): string[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.#random.below(i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }
}

/** The first {@link MAX_OF_PEER} of a peer's records. */
function* first(records: Iterable<NameRecord>): Iterable<NameRecord> {
  let count = 0;
  for (const record of records) {
    if (count++ === MAX_OF_PEER) return;
    yield record;
  }
}
