import type { Gossiper } from "#mesh/gossip.js";
import {
  type KnownPeers,
  leadsTo,
  MAX_PEERS,
  type PeerIdentity,
  type PeerLink,
  type PeerName,
  type PeerRecord,
} from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import { Replica } from "#mesh/replica/replica.js";
import { type Replicas, SET_BYTES } from "#mesh/replica/replicas.js";
import { partsOf, type SelfRecord, TOPOLOGY_FORMAT, type TopologyRecord } from "#mesh/topology/record.js";
import type { Trust } from "#mesh/trust/trust.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";
import type { Log } from "#src/log.js";

/** Time for which an unreachable peer is kept, with its addresses and names: longer than a reboot with a disk check. */
export const FORGET_AFTER_MS = 15 * 60_000;

/** Peers whose reachability has changed. */
export interface ReachabilityChange {
  readonly suspended: readonly PeerName[];
  readonly resumed: readonly PeerName[];
  readonly forgotten: readonly PeerName[];
}

/** The collaborators of a {@link Topology}. */
export interface TopologyDeps {
  readonly replicas: Replicas;
  readonly trust: Trust;
  readonly clock: Clock;
  readonly log: Log;
  /** Returns the peers with a connection to this one. They are reachable before this peer has announced their links. */
  readonly neighbours: () => Iterable<Pick<PeerIdentity, "name" | "identity">>;
  /** Returns the network's time, in milliseconds since the Unix epoch. */
  readonly time: () => number;
  /** Called when records have changed: {@link Topology.updateReachability} must follow. */
  readonly changed: () => void;
  /** Called when this peer has a later incarnation. */
  readonly incarnation: (incarnation: number) => void;
}

/**
 * The records of all peers: a replicated set, in which each peer has signed its own. A neighbour is known from its hello before
 * its records arrive. A name belongs to the identity that it is pinned to; of a reachable peer no other identity is accepted.
 *
 *                 links lead to it                    15 min unreachable
 *   (unknown) ──▶ reachable ◀────────▶ suspended ──────────────────────────▶ forgotten
 *                            no link leads to it
 *
 * A peer whose identity is revoked is forgotten at once, from any state.
 *
 * Only reachable peers are compared with other peers: peers forget others at different times, and must not restore forgotten ones.
 */
export class Topology {
  readonly #deps: TopologyDeps;
  readonly #identity: PeerIdentity;
  readonly #replica: Replica<TopologyRecord>;
  /** What hellos say of peers that are, or were, neighbours. */
  readonly #hellos = new Map<PeerName, PeerIdentity>();
  readonly #records = new Map<PeerName, PeerRecord>();
  /** Unreachable peers, and the monotonic time since when. */
  readonly #suspended = new Map<PeerName, number>();
  /** Peers that have been reachable: only their changes are reported. */
  readonly #reached = new Set<PeerName>();
  /** Identity and run of reachable peers, as far as their names are pinned. */
  readonly #sighted = new Map<PeerName, string>();
  /** Names whose identity was revoked since reachability was computed, and whether that was reported as reachable. */
  readonly #revoked = new Map<PeerName, boolean>();
  #reachableNames: ReadonlySet<PeerName> | undefined;
  /** The peers that are compared, and the number of contradictions when that was computed. */
  #counted: { readonly names: ReadonlySet<PeerName>; readonly aside: number } | undefined;

  constructor(self: PeerIdentity, deps: TopologyDeps) {
    const { replicas, clock, log, time, incarnation } = deps;
    this.#deps = deps;
    this.#identity = self;
    this.#records.set(self.name, { ...self, version: 0, links: [] });
    this.#replica = new Replica({
      self: self.name,
      incarnation: self.incarnation,
      format: TOPOLOGY_FORMAT,
      replicas,
      shareBytes: SET_BYTES.topology,
      clock,
      log,
      peers: this.peers,
      time,
      identify: (origin, records) => this.#identify(origin, records),
      counted: () => this.#countedNames(),
      onChange: ({ origin }) => this.#refresh(origin),
      onIncarnation: incarnation,
    });
    const { nickname, identity, key, uid } = self;
    this.#replica.add({ kind: "self", nickname, identity, key, uid });
  }

  /** The receiving end of the topology's channel; {@link open} sets the sending end. */
  get gossiper(): Gossiper {
    return this.#replica;
  }

  open(...args: Parameters<Replica<TopologyRecord>["open"]>): void {
    this.#replica.open(...args);
  }

  stop(): void {
    this.#replica.stop();
  }

  get self(): PeerRecord {
    return this.#records.get(this.#identity.name)!;
  }

  /** Sets this peer's links. @returns whether they have changed */
  setLinks(all: readonly PeerLink[]): boolean {
    const links = all.slice(0, MAX_PEERS);
    const now = new Set(links.map(({ to }) => to));
    const put = links.map((link) => ({ kind: "link" as const, ...link }));
    const changes = this.#replica.update({ put, drop: (record) => record.kind === "link" && !now.has(record.to) });
    return changes !== undefined && changes > 0;
  }

  /** Adds a new neighbour, or a new run of one, with the data of its hello. */
  greet({ name, nickname, identity, key, uid, incarnation }: PeerIdentity): void {
    const known = this.#replica.version(name);
    // The neighbour's clock was set back, or its disk restored. With the old state it begins a later incarnation.
    if (known !== undefined && known.identity === identity && known.incarnation > incarnation)
      this.#replica.send(name, name);
    this.#hellos.set(name, { name, nickname, identity, key, uid, incarnation });
    limitSize(this.#hellos, MAX_PEERS);
    this.#refresh(name);
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

  /** The known peers, as other replicated sets see them. */
  get peers(): KnownPeers {
    return {
      reachable: () => this.#namesOfReachable(),
      nickname: (name) => this.#records.get(name)?.nickname,
      identity: (name) => this.#accepted(name),
      pinnedIdentity: (name) => this.#pinned(name),
    };
  }

  /** Drops the records of an identity that is not accepted any more. The next {@link updateReachability} reports its names. */
  revoke(identity: string): void {
    for (const { name, identity: owner } of [...this.#records.values()]) {
      if (owner !== identity || name === this.#identity.name) continue;
      this.#revoked.set(name, this.#reached.has(name) && !this.#suspended.has(name));
      this.#erase(name);
    }
    this.#replica.revoke(identity);
    this.#reachableNames = this.#counted = undefined;
    this.#deps.changed();
  }

  /** Computes which peers are reachable, and drops peers that were unreachable for long. Must be called after each change. @param now monotonic milliseconds */
  updateReachability(now: number): ReachabilityChange {
    const found = this.#found();
    const revoked = new Map(this.#revoked);
    this.#revoked.clear();
    const suspended = [...revoked].filter(([, wasReachable]) => wasReachable).map(([name]) => name);
    const resumed: PeerName[] = [];
    const forgotten: PeerName[] = [];
    for (const name of this.#records.keys()) {
      const since = this.#suspended.get(name);
      if (found.has(name)) {
        // Of a revoked identity's name: its new owner is here already.
        if ((since !== undefined && this.#reached.has(name)) || revoked.get(name)) resumed.push(name);
        this.#suspended.delete(name);
        this.#reached.add(name);
        this.#sight(this.#records.get(name)!);
      } else if (since === undefined) {
        this.#suspended.set(name, now);
        if (this.#reached.has(name)) suspended.push(name);
      } else if (now - since >= FORGET_AFTER_MS) forgotten.push(name);
    }
    for (const name of forgotten) this.#forget(name);
    for (const name of revoked.keys()) if (!this.#records.has(name)) forgotten.push(name);
    this.#reachableNames = this.#counted = undefined;
    return { suspended, resumed, forgotten };
  }

  /** Returns a hash that is equal at two peers with the same records of reachable peers. */
  digest(): string {
    return this.#replica.digest;
  }

  #namesOfReachable(): ReadonlySet<PeerName> {
    if (this.#reachableNames === undefined) {
      const names = new Set(this.reachable().map(({ name }) => name));
      names.delete(this.#identity.name);
      this.#reachableNames = names;
    }
    return this.#reachableNames;
  }

  #pinned(name: PeerName): string | undefined {
    return this.#records.get(name)?.identity ?? this.#deps.trust.identityOf(name);
  }

  /** Returns the identity of a name, unless that is not accepted any more: others may still pass on what it signs. */
  #accepted(name: PeerName): string | undefined {
    const identity = this.#pinned(name);
    if (identity === undefined) return undefined;
    const verdict = this.#deps.trust.judge({ name, identity });
    return verdict === "excluded" || verdict === "retired" ? undefined : identity;
  }

  /** Returns the peers to which links lead. */
  #found(): Set<PeerName> {
    const found = new Set<PeerName>([this.#identity.name]);
    const queue: PeerRecord[] = [this.self];
    for (const { name, identity } of this.#deps.neighbours()) {
      const record = this.#records.get(name);
      if (record?.identity !== identity || found.has(name)) continue;
      found.add(name);
      queue.push(record);
    }
    for (let record = queue.pop(); record !== undefined; record = queue.pop()) {
      for (const link of record.links) {
        if (found.has(link.to)) continue;
        const next = this.#records.get(link.to);
        if (next === undefined || !leadsTo(link, next)) continue;
        found.add(link.to);
        queue.push(next);
      }
    }
    return found;
  }

  /** Returns the identity that must have signed what a peer says: of a reachable peer the known one, else one that is not refused. */
  #identify(origin: PeerName, records: readonly Versioned<TopologyRecord>[]): string | undefined {
    const { trust } = this.#deps;
    const known = this.#records.get(origin);
    const { self } = partsOf(records);
    const isBound = known !== undefined && (!this.#suspended.has(origin) || self === undefined);
    if (self !== undefined && self.identity !== known?.identity) {
      // Any identity can sign a record with this name: that it is refused is reported before its signature is checked.
      const { nickname, identity, key, uid } = self;
      if (!trust.accepts({ name: origin, nickname, identity, key, uid, incarnation: 0 })) return known?.identity;
    }
    const identity = isBound ? known.identity : self?.identity;
    if (identity === undefined) return undefined;
    const verdict = trust.judge({ name: origin, identity });
    return verdict === "trusted" || verdict === "new" ? identity : undefined;
  }

  /** Returns the reachable peers, and those whose records are ignored: a proof has no end, and all peers have it. */
  #countedNames(): ReadonlySet<PeerName> {
    const aside = this.#replica.equivocations;
    if (this.#counted === undefined || this.#counted.aside !== aside.length) {
      const away = aside
        .filter(({ origin }) => this.#replica.version(origin) === undefined)
        .map(({ origin }) => origin);
      this.#counted = { names: new Set([...this.#namesOfReachable(), ...away]), aside: aside.length };
    }
    return this.#counted.names;
  }

  /** Pins the name of a peer that others are connected to. A name that no peer is connected to costs nothing to invent. */
  #sight(record: PeerRecord): void {
    const { name, identity, uid } = record;
    const run = `${identity} ${uid}`;
    if (name === this.#identity.name || this.#sighted.get(name) === run) return;
    this.#sighted.set(name, run);
    const { trust } = this.#deps;
    trust.pin(record);
    trust.sawRecord(record);
  }

  /** Makes the record of a peer from its hello and its records. Of two runs of the peer the later one counts. */
  #refresh(name: PeerName): void {
    const known = this.#replica?.version(name);
    const hello = name === this.#identity.name ? this.#identity : this.#hellos.get(name);
    const parts = partsOf(known === undefined ? [] : this.#replica.of(name));
    const said =
      known !== undefined && parts.self !== undefined ? recordOf(name, known, parts.self, parts.links) : undefined;
    const isHellos =
      hello !== undefined &&
      (said === undefined || hello.identity !== said.identity || hello.incarnation > said.incarnation);
    const record = isHellos ? { ...hello, version: 0, links: [] } : said;
    if (record === undefined) {
      this.#records.delete(name);
      this.#suspended.delete(name);
    } else this.#records.set(name, record);
    this.#reachableNames = this.#counted = undefined;
    this.#deps.changed();
  }

  #forget(name: PeerName): void {
    if (name === this.#identity.name) return;
    this.#erase(name);
    this.#replica.forget(name);
  }

  #erase(name: PeerName): void {
    this.#hellos.delete(name);
    this.#records.delete(name);
    this.#suspended.delete(name);
    this.#reached.delete(name);
    this.#sighted.delete(name);
  }
}

function recordOf(
  name: PeerName,
  { incarnation, version }: { readonly incarnation: number; readonly version: number },
  { nickname, identity, key, uid }: SelfRecord,
  links: readonly PeerLink[],
): PeerRecord {
  return { name, nickname, identity, key, uid, incarnation, version, links };
}
