import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { GossipChannel, Gossiper, News } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { AbsentOrigins } from "#mesh/replica/absent-origins.js";
import { type Equivocation, Equivocations, type Proof } from "#mesh/replica/equivocations.js";
import type { BudgetShare } from "#mesh/replica/memory-budget.js";
import { newsOfProof, newsOfState } from "#mesh/replica/news.js";
import { OwnReceiver } from "#mesh/replica/own-receiver.js";
import { OwnRecords } from "#mesh/replica/own-records.js";
import { RecordCodec } from "#mesh/replica/record-codec.js";
import type { RecordFormat, Versioned } from "#mesh/replica/record-format.js";
import type { RecordIndex } from "#mesh/replica/record-index.js";
import { type Change, RecordSet } from "#mesh/replica/record-set.js";
import type { RecordRejections } from "#mesh/replica/rejections.js";
import { Repair } from "#mesh/replica/repair.js";
import {
  decodeReplicaMessage,
  decodeVersion,
  encodeReplicaMessage,
  MAX_SET_MESSAGE_BYTES,
  type OriginVersion,
  type ReplicaMessage,
  type StateMessage,
} from "#mesh/replica/replica-message.js";
import type { Replicas } from "#mesh/replica/replicas.js";
import { ReturnPath } from "#mesh/replica/return-path.js";
import { type Outcome, StateReceiver } from "#mesh/replica/state-receiver.js";
import type { Summary } from "#mesh/replica/summary.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Store } from "#src/store.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** Lifetime of a tombstone in seconds: longer than any message travels. A peer that was away for longer learns of removals by the horizon. */
const TOMBSTONE_S = 30 * 60;
/** Interval at which tombstones expire. */
const TICK_MS = 60_000;
/** Shortest interval between two announcements: changes in between have one signature. */
const ANNOUNCE_MS = 20;

export interface ReplicaOptions<F extends object> {
  readonly self: PeerName;
  /** Grows with each start of this peer. */
  readonly incarnation: number;
  readonly format: RecordFormat<F>;
  /** Prefix of this set's keys in the store. */
  readonly storePrefix?: string;
}

/** Collaborators of a {@link Replica}. */
export interface ReplicaDeps<F extends object> {
  /** What all sets of the process have in common. */
  readonly replicas: Replicas;
  /** This set's share of the memory, in estimated bytes: see {@link SET_BYTES}. */
  readonly shareBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Keeps this peer's records; without it they are in memory alone. */
  readonly store?: Store;
  readonly peers: KnownPeers;
  /** Indexes that the replica updates with the live records. */
  readonly indexes?: readonly RecordIndex<F>[];
  /** Returns the network's time, in milliseconds since the Unix epoch; the host's clock by default. */
  readonly time?: () => number;
  /**
   * Returns the key that must have signed what an origin says; undefined for an origin of which nothing is kept. By default it is
   * that of the known peer. Another result than for the present state of the origin replaces that state.
   *
   * @param records of a message with all records: those of it, which are not verified yet; otherwise none
   */
  readonly identify?: (origin: PeerName, records: readonly Versioned<F>[]) => string | undefined;
  /**
   * Returns the origins that are compared with those of other peers, beside this peer; by default the reachable ones. A new set
   * after each change.
   */
  readonly counted?: () => ReadonlySet<PeerName>;
  /** Called after each change of live records. */
  readonly onChange?: (change: Change<F>) => void;
  /** Called when this peer has begun a higher incarnation. */
  readonly onIncarnation?: (incarnation: number) => void;
}

/**
 * A replica of a set of records that all peers have in full. Each peer adds, removes, stores and signs only its own records, and
 * takes those of others as they are signed. Changes are gossiped; {@link Repair} delivers missed ones.
 *
 * The records of one origin are a state: its incarnation, and the number of its last change, the version. Of two states the one
 * with the higher incarnation, then the higher version is taken, so that order, loss and repetition of messages do not change
 * the result, and no clocks are compared. Each record has the version of its last change: who has the state of any version gets
 * the records with higher versions from any peer, computes the hash of all records, and checks the origin's signature of it.
 * Tombstones of removed records are dropped after a while; `horizon` is the version up to which that may have happened.
 */
export class Replica<F extends object> implements Gossiper {
  readonly #options: ReplicaOptions<F> & ReplicaDeps<F>;
  readonly #rejections: RecordRejections;
  readonly #budget: BudgetShare;
  readonly #set: RecordSet<F>;
  readonly #own: OwnRecords<F>;
  readonly #absent: AbsentOrigins;
  readonly #equivocations = new Equivocations();
  readonly #receiver: StateReceiver<F>;
  readonly #ownReceiver: OwnReceiver<F>;
  readonly #returnPath: ReturnPath;
  readonly #repair: Repair<F>;
  readonly #announce: ThrottledTask;
  readonly #timer: Timer;
  #channel: GossipChannel | undefined;

  /** @throws WEAVE_STORE when a stored record is damaged */
  constructor(options: ReplicaOptions<F> & ReplicaDeps<F>) {
    const { format, clock, peers, replicas, indexes, onChange } = options;
    this.#options = options;
    const { signer, rejections } = replicas;
    const budget = replicas.add(format.name, this, options.shareBytes);
    this.#rejections = rejections;
    this.#budget = budget;
    const codec = new RecordCodec(format);
    const set = new RecordSet<F>({ budget, ...(indexes && { indexes }), ...(onChange && { onChange }) });
    const absent = new AbsentOrigins(clock);
    this.#set = set;
    this.#absent = absent;
    const identify = options.identify ?? ((origin: PeerName) => peers.identity(origin));
    const latest = () => this.#latestIncarnation();
    const shared = { set, absent, equivocations: this.#equivocations, clock, codec, budget, verify: signer.verify };
    this.#receiver = new StateReceiver({ ...shared, name: format.name, rejections, identify, latest });
    this.#own = new OwnRecords({ ...options, ...shared, signer });
    this.#ownReceiver = new OwnReceiver({
      ...shared,
      name: format.name,
      identity: signer.identity,
      own: this.#own,
      rejections,
      latest,
      outlived: () => this.#outlived(),
    });
    const reachable = () => peers.reachable();
    this.#returnPath = new ReturnPath({ signer, set: format.name, incarnation: options.incarnation, clock, reachable });
    this.#repair = new Repair({
      ...shared,
      returnPath: this.#returnPath,
      self: options.self,
      counted: options.counted ?? reachable,
      sign: () => void this.#own.head(),
      isWanted: (entry) => this.#isWanted(entry),
      send: (to, message) => this.#channel?.unicast(to, encodeReplicaMessage(message)) ?? false,
    });
    this.#announce = new ThrottledTask(clock, ANNOUNCE_MS, () => this.#announceOwn());
    this.#timer = every(clock, TICK_MS, () => this.#tick());
  }

  /** Sets the sending end of the channel, and gossips this peer's records. */
  open(channel: GossipChannel): void {
    this.#channel = channel;
    this.#announce.request();
  }

  stop(): void {
    this.#timer.cancel();
    this.#announce.cancel();
    this.#repair.stop();
  }

  // ── Records ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Adds or replaces a record of this peer. @returns false when there is no room for it @throws WEAVE_STORE */
  add(fields: F): boolean {
    return this.update({ put: [fields] }) !== undefined;
  }

  /** Removes live records of this peer. @returns the number of removed records @throws WEAVE_STORE */
  remove(matches: (record: Versioned<F>) => boolean): number {
    return this.update({ drop: matches })!;
  }

  /**
   * Changes records of this peer, with one signature for all.
   *
   * @param put records that are added, or replace those with the same key; equal ones are not changed
   * @param drop which of the other records are removed
   * @returns the number of changes; undefined when there is no room for them, and nothing has changed
   * @throws WEAVE_STORE
   */
  update(change: {
    readonly put?: readonly F[];
    readonly drop?: (record: Versioned<F>) => boolean;
  }): number | undefined {
    const changes = this.#own.update(change.put ?? [], change.drop ?? (() => false));
    if (changes !== undefined && changes > 0 && this.#channel !== undefined) this.#announce.request();
    return changes;
  }

  /** Returns the live records of this peer. */
  own(): Versioned<F>[] {
    return this.#own.live;
  }

  /** Returns the live records of a peer. */
  of(origin: PeerName): Versioned<F>[] {
    return this.#set.of(origin);
  }

  /** Returns the records of all peers, tombstones included. */
  all(): IterableIterator<Versioned<F>> {
    return this.#set.all();
  }

  /** Names of the peers with a state in the set. */
  origins(): IterableIterator<PeerName> {
    return this.#set.origins();
  }

  /** Returns the present version of a peer's records, and the key that signed it; undefined without any. */
  version(origin: PeerName): (OriginVersion & { readonly identity: string }) | undefined {
    const state = this.#set.get(origin);
    if (state === undefined) return undefined;
    const { incarnation, version } = state.head;
    return { origin, incarnation, version, identity: state.identity };
  }

  /** This peer's incarnation. */
  get incarnation(): number {
    return this.#own.incarnation;
  }

  /** Number of live records of all peers. */
  get size(): number {
    return this.#set.size;
  }

  /** A hash that is equal at two peers with the same records of the same reachable peers. */
  get digest(): string {
    return Buffer.from(this.#summary().digest).toString("base64url");
  }

  /** Origins that have signed two contents of one version. */
  get equivocations(): Equivocation[] {
    return this.#equivocations.list;
  }

  /** Estimated memory of the set in bytes. */
  get heapBytes(): number {
    return this.#budget.used;
  }

  /** Whether a peer is unreachable. Its records are kept for a while. */
  isUnreachable(origin: PeerName): boolean {
    const { self, peers } = this.#options;
    return origin !== self && !peers.reachable().has(origin);
  }

  /** Drops the records of a peer that was unreachable for long. The peer sends them again when it returns. */
  forget(peer: PeerName): void {
    const head = this.#set.get(peer)?.head;
    this.#set.drop(peer);
    if (head !== undefined) this.#absent.forget({ ...head, origin: peer });
  }

  /** Drops what an identity has signed: it is not accepted any more. Another identity may have its name at once. */
  revoke(identity: string): void {
    for (const origin of [...this.#set.origins()])
      if (origin !== this.#options.self && this.#set.get(origin)?.identity === identity) this.#set.drop(origin);
  }

  /** Sends the present state of an origin to a peer, which may lack it. */
  send(to: PeerName, origin: PeerName): void {
    this.#repair.send(to, origin);
  }

  /** More peers are known: requests the records of origins that were unknown when their records arrived. */
  peersChanged(): void {
    const { peers, identify } = this.#options;
    const isKnown = (origin: PeerName) => (identify?.(origin, []) ?? peers.identity(origin)) !== undefined;
    for (const [origin, neighbour] of this.#absent.takeKnown(isKnown))
      this.#repair.ask(neighbour, [{ origin, incarnation: 0, version: 0 }]);
  }

  // ── Gossip ────────────────────────────────────────────────────────────────────────────────────────────────────────

  onUnicast(from: PeerName, payload: Uint8Array, neighbour: PeerName): void {
    const { news } = this.#receive(from, payload, neighbour);
    for (const each of news) this.#gossip(each);
  }

  onBroadcast(from: PeerName, payload: Uint8Array, neighbour: PeerName): void {
    this.onUnicast(from, payload, neighbour);
  }

  onGossip(from: PeerName, payload: Uint8Array, neighbour: PeerName): readonly News[] | undefined {
    const { news, isKnown } = this.#receive(from, payload, neighbour);
    return isKnown ? undefined : news;
  }

  onNotice(notice: Uint8Array, neighbour: PeerName): boolean {
    const offered = decodeVersion(notice);
    if (offered === undefined) {
      this.#rejections.add("malformed", neighbour);
      return false;
    }
    return this.#offered(offered, neighbour);
  }

  connected(neighbour: PeerName): void {
    this.#repair.connected(neighbour);
  }

  state(): Uint8Array {
    return encodeReplicaMessage({ kind: "digest", digest: this.#summary().digest });
  }

  /** Handles a message. @returns what is to be passed on, and whether everything in it was known */
  #receive(from: PeerName, payload: Uint8Array, neighbour: PeerName): { news: News[]; isKnown: boolean } {
    const message = this.#decode(payload, neighbour);
    if (message === undefined) return { news: [], isKnown: false };
    switch (message.kind) {
      case "states":
        return this.#afterAll(
          message.states.map((state) => this.#takeState(neighbour, state)),
          neighbour,
        );
      case "proof":
        return this.#afterAll([this.#takeProof(neighbour, message.proof)], neighbour);
      case "have":
        return { news: [], isKnown: !message.origins.map((each) => this.#offered(each, neighbour)).includes(true) };
      default:
        this.#own.head();
        this.#repair.receive(...this.#returnPath.open(from, neighbour, message));
        return { news: [], isKnown: true };
    }
  }

  /** A neighbour has a version. @returns whether it is requested */
  #offered(offered: OriginVersion, neighbour: PeerName): boolean {
    const lacking = offered.origin === this.#options.self ? undefined : this.#repair.lacking(offered, neighbour);
    return lacking !== undefined && this.#repair.askOffered(neighbour, lacking);
  }

  #decode(payload: Uint8Array, neighbour: PeerName): ReplicaMessage | undefined {
    if (payload.length > MAX_SET_MESSAGE_BYTES) {
      this.#rejections.add("oversized", neighbour);
      return undefined;
    }
    try {
      return decodeReplicaMessage(this.#options.format.name, payload);
    } catch {
      this.#rejections.add("malformed", neighbour);
      return undefined;
    }
  }

  #takeState(neighbour: PeerName, state: StateMessage): Outcome {
    const { origin } = state;
    if (origin === this.#options.self) return this.#ownReceiver.state(neighbour, state);
    return this.#receiver.receive(neighbour, state, !this.isUnreachable(origin));
  }

  #takeProof(neighbour: PeerName, proof: Proof): Outcome {
    const receiver = proof.first.origin === this.#options.self ? this.#ownReceiver : this.#receiver;
    return receiver.proof(neighbour, proof);
  }

  #afterAll(outcomes: readonly Outcome[], neighbour: PeerName): { news: News[]; isKnown: boolean } {
    const asked = outcomes.flatMap((each) => (each.what === "ask" ? [each.origin] : []));
    if (asked.length > 0) this.#repair.ask(neighbour, asked);
    const news = outcomes.flatMap((each) => {
      if (each.what === "news") this.#repair.arrived(each.state.origin);
      if (each.what === "news") return [newsOfState(each.state)];
      if (each.what === "proof") this.#contradicted(each.proof);
      if (each.what === "proof") return [newsOfProof(each.proof)];
      return [];
    });
    return { news, isKnown: outcomes.every(({ what }) => what === "known") };
  }

  #contradicted({ first: { origin: peer } }: Proof): void {
    const { log, format } = this.#options;
    log.warn("a peer has signed two contents of one version, and its records are ignored", { peer, set: format.name });
  }

  #outlived(): void {
    const { log, format, onIncarnation } = this.#options;
    log.warn("other peers had records of this peer that it does not have; they are replaced", { set: format.name });
    onIncarnation?.(this.#own.incarnation);
    this.#announceOwn();
  }

  /** Whether a state of an origin is to be requested. */
  #isWanted(state: OriginVersion): boolean {
    if (state.incarnation > this.#latestIncarnation()) return false;
    return !(this.#absent.wasForgotten(state) && this.isUnreachable(state.origin));
  }

  /** Returns the highest incarnation that is plausible now. */
  #latestIncarnation(): number {
    const { time, clock } = this.#options;
    return (time?.() ?? clock.wall()) + MAX_AHEAD_MS;
  }

  #summary(): Summary {
    this.#own.head();
    return this.#repair.summary;
  }

  #announceOwn(): void {
    if (this.#channel === undefined) return;
    const state = this.#own.announce();
    if (state !== undefined) this.#gossip(newsOfState(state));
  }

  #gossip({ payload, notice, subject }: News): void {
    this.#channel?.gossip(payload, notice && subject !== undefined ? { notice, subject } : undefined);
  }

  /** Drops old tombstones. The new horizon is not urgent: repair delivers it. */
  #tick(): void {
    const before = Math.floor(this.#options.clock.wall() / 1_000) - TOMBSTONE_S;
    this.#own.expire(before);
    this.peersChanged();
  }
}
