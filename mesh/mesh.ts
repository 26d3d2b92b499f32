import { Admission } from "#mesh/connection/admission.js";
import type { Connection } from "#mesh/connection/connection.js";
import { NeighbourTable } from "#mesh/connection/neighbour-table.js";
import { ConnectionManager, isSelf, type ManagerEvents } from "#mesh/connection-manager.js";
import { Dialler } from "#mesh/dialling/dialler.js";
import { DialSchedule, type DialTarget } from "#mesh/dialling/schedule.js";
import { GossipRelay } from "#mesh/gossip/relay.js";
import { GossipSpreader } from "#mesh/gossip/spreader.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { MeshOptions, MeshStatus } from "#mesh/options.js";
import { type KnownPeers, type PeerName, type PeerRecord, peerText } from "#mesh/peer.js";
import { Rejections } from "#mesh/rejections.js";
import type { Rekey } from "#mesh/rekey/rekey.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { meshRekey, rekeyNeighbour } from "#mesh/secret-change.js";
import type { Secrets } from "#mesh/secrets.js";
import type { Routes } from "#mesh/topology/routes.js";
import { Routing } from "#mesh/topology/routing.js";
import { Topology } from "#mesh/topology/topology.js";
import type { Wire } from "#mesh/transport.js";
import { TRUST_CHANNEL, TrustGossip } from "#mesh/trust/gossip.js";
import { conflictText, contradictionText, revocation } from "#mesh/trust/text.js";
import type { Trust } from "#mesh/trust/trust.js";
import { every, type Timer } from "#src/clock.js";
import { Emitter } from "#src/emitter.js";
import { errorText, WeaveError } from "#src/errors.js";
import { PacedTask } from "#src/paced-task.js";
import { sample } from "#src/random.js";
import { toHex } from "#src/text.js";

/** Interval of the repair with one random neighbour; the same as of Weave Net's gossip. */
const REPAIR_MS = 30_000;
/** Name of the topology's channel. */
const TOPOLOGY_CHANNEL = "topology";
/** Delays of an announcement of this peer's links, and of new routes: a new connection passes frames a moment later. */
const ANNOUNCE_SETTLE_MS = 25;
const ROUTES_SETTLE_MS = 5;
/**
 * Delay of an announcement of a further link to a peer that is reached already, with the time that each reachable peer adds: while many
 * peers join, most links are such, and many of them are one announcement then. Frames take the other route until all know.
 */
const FURTHER_LINK_MS = { least: 0, perPeer: 50, most: 1_500 };
/**
 * Shortest intervals between two announcements of this peer's links, and between two computations of routes, with the time that each
 * reachable peer adds. In a large network changes come together; all peers must still know of a failed link within a second.
 */
const ANNOUNCE_MS = { least: 50, perPeer: 2, most: 600 };
const ROUTES_MS = { least: 20, perPeer: 0.5, most: 200 };

/**
 * A peer of the mesh: connections to neighbours, topology, routes, and gossip. It runs from its construction until
 * {@link Mesh.stop}. Wires, time and randomness are injected.
 */
export class Mesh {
  /** What the replicated sets of this peer have in common. */
  readonly replicas: Replicas;
  /** The change of the network's secret. */
  readonly rekey: Rekey;
  readonly #options: MeshOptions;
  readonly #topology: Topology;
  readonly #neighbours: NeighbourTable;
  readonly #schedule: DialSchedule;
  readonly #routing: Routing;
  readonly #spreader: GossipSpreader;
  readonly #relay: GossipRelay;
  readonly #trustGossip: TrustGossip;
  readonly #connections: ConnectionManager;
  readonly #dialler: Dialler;
  readonly #announce: PacedTask;
  /** Announces further links to peers that are reachable: {@link FURTHER_LINK_MS}. */
  #announceLater: Timer | undefined;
  readonly #reroute: PacedTask;
  readonly #repair: Timer;
  /** Messages that are not handled any further, because they or their contents are invalid. */
  readonly #malformed = new Rejections(["malformed"]);

  constructor(options: MeshOptions) {
    const { name, nickname, incarnation, staticKey, clock, random, discovery, connectionLimit, port } = options;
    this.#options = options;
    const neighbours = new NeighbourTable(clock);
    const identity = {
      name,
      nickname,
      identity: options.signer.identity,
      key: toHex(staticKey.public),
      uid: toHex(random.bytes(8)),
      incarnation,
    };
    const replicas = new Replicas(options.signer);
    const reroute = new PacedTask(
      clock,
      ROUTES_SETTLE_MS,
      () => this.#pace(ROUTES_MS),
      () => this.#updateRoutes(),
    );
    const topology = new Topology(identity, {
      replicas,
      trust: options.trust,
      clock,
      log: options.log,
      neighbours: () => Array.from(neighbours, ({ remote }) => remote!),
      time: () => neighbours.time(),
      changed: () => reroute.request(),
      incarnation: (incarnation) => options.events.incarnation(incarnation),
    });
    topology.updateReachability(clock.now());
    const schedule = new DialSchedule(random, { discovery, limit: connectionLimit, port });
    const routing = new Routing(topology);
    const spreader = new GossipSpreader({ clock, neighbours, topology, random });
    const events = new Emitter<ManagerEvents>();
    const { trust, secrets } = options;
    const admission = new Admission({ topology, neighbours, schedule, trust, secrets }, connectionLimit);
    const connections = new ConnectionManager(options, { neighbours, topology, admission, schedule, events });

    this.#neighbours = neighbours;
    this.#topology = topology;
    this.#schedule = schedule;
    this.#routing = routing;
    this.#spreader = spreader;
    this.#relay = new GossipRelay({ self: name, clock, neighbours, routing, spreader, traffic: connections.traffic });
    this.replicas = replicas;
    this.#connections = connections;
    const opened = (wire: Wire, address: string) => connections.open(wire, address);
    this.#dialler = new Dialler(options, { schedule, neighbours, topology, opened });
    this.#announce = new PacedTask(
      clock,
      ANNOUNCE_SETTLE_MS,
      () => this.#pace(ANNOUNCE_MS),
      () => this.#announceLinks(),
    );
    this.#reroute = reroute;
    this.#repair = every(clock, REPAIR_MS, () => this.#repairOnce());
    this.#listen(events);
    this.#trustGossip = this.#openTrust();
    this.rekey = meshRekey(options, { neighbours, topology });
    topology.open(this.#relay.channel(TOPOLOGY_CHANNEL, topology.gossiper));
  }

  // ── Operator ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Adds targets, which are dialled for ever. @param replace whether the earlier targets are dropped; their connections stay */
  connect(targets: readonly DialTarget[], replace: boolean): void {
    this.#schedule.connect(targets, replace, this.#options.clock.now());
    this.#options.events.targets(this.#schedule.targets);
    this.#dialler.wake();
  }

  /** Drops targets by {@link DialTarget.text}. Their connections stay. */
  forget(texts: readonly string[]): void {
    this.#schedule.forget(texts);
    this.#options.events.targets(this.#schedule.targets);
  }

  /** Begins the handshake on an inbound wire, if the limits allow one more. */
  accept(wire: Wire): void {
    this.#connections.accept(wire);
  }

  /** Registers the receiving end of a gossip channel. @param name the same at all peers @returns the sending end */
  channel(name: string, gossiper: Gossiper): GossipChannel {
    return this.#relay.channel(name, gossiper);
  }

  /** The routes of frames, over established links. */
  get frameRoutes(): Routes {
    return this.#routing.frames;
  }

  /** Returns the network's time, in milliseconds since the Unix epoch: see `meshTime` in counter.ts. */
  time(): number {
    return Math.floor(this.#neighbours.time());
  }

  /** Returns the open connection to a peer; undefined if there is none. */
  connectionTo(peer: PeerName): Connection | undefined {
    return this.#neighbours.get(peer);
  }

  /** Returns the record of a known peer. */
  peer(name: PeerName): PeerRecord | undefined {
    return this.#topology.get(name);
  }

  /** The known peers, as replicated sets see them. */
  get peers(): KnownPeers {
    return this.#topology.peers;
  }

  /** Returns a hash of the topology, equal at two peers that know the same topology. */
  digest(): string {
    return this.#topology.digest();
  }

  status(): MeshStatus {
    const { refusals, terminations, guesses } = this.#connections;
    return {
      self: this.#topology.self,
      peers: this.#topology.reachable(),
      suspended: this.#topology.suspended(),
      connections: [...this.#neighbours],
      attempts: this.#schedule.status(),
      targets: this.#schedule.targets,
      ...this.#conflicts(),
      refused: refusals.list(this.#options.clock.now()),
      refusals: refusals.counts,
      gossip: this.#connections.traffic.list(),
      pausedMs: this.#connections.budgets.pausedMs,
      slowed: this.#connections.budgets.slowed(this.#options.clock.now()),
      wrongPasswords: { total: guesses.total, sources: guesses.list() },
      terminations,
      quarantined: this.#malformed.total,
    };
  }

  /** What was rejected, by what it is about. */
  get rejections(): Readonly<Record<"messages" | "records" | "orders", Rejections<string>>> {
    return { messages: this.#malformed, records: this.replicas.rejections, orders: this.rekey.status().rejections };
  }

  /** The secrets that handshakes use. */
  get secrets(): Secrets {
    return this.#options.secrets;
  }

  /** Which identity each name belongs to. */
  get trust(): Trust {
    return this.#options.trust;
  }

  /** Announces that this peer's identity ends: other peers never accept it again, and its name is free. {@link stop} must follow. */
  retire(): void {
    this.#trustGossip.retire(this.#topology.self);
  }

  /** Ends all connections, dials and timers. A stopped mesh cannot be started again. */
  stop(): void {
    this.#repair.cancel();
    this.#dialler.stop();
    this.#announce.cancel();
    this.#announceLater?.cancel();
    this.#reroute.cancel();
    this.#spreader.stop();
    this.rekey.stop();
    this.#topology.stop();
    this.#connections.stop(new WeaveError("WEAVE_CONNECTION", `${peerText(this.#topology.self)} is stopping`));
  }

  // ── Connections ───────────────────────────────────────────────────────────────────────────────────────────────────

  #listen(events: Emitter<ManagerEvents>): void {
    events.on("opened", (connection) => this.#opened(connection));
    events.on("message", (from, message) => this.#receive(from, message));
    events.on("malformed", (from, error) => this.#reject(from, "unknown", error));
    events.on("links", () => this.#announce.request());
    events.on("passing", (connection) => {
      if (connection.state === "established") this.#announceLink(connection, this.#routing.frames);
      else this.#announce.request();
      this.#dialler.wake();
    });
    events.on("closed", (connection, error) => this.#closed(connection, error));
  }

  #opened(connection: Connection): void {
    const { dialled, remote } = connection;
    if (dialled !== undefined) this.#dialler.succeeded(dialled, remote!.name);
    this.#relay.connected(connection);
    this.#topology.greet(remote!);
    this.#announceLink(connection, this.#routing.gossip);
    this.#relay.sendStates(connection);
    this.rekey.greet(rekeyNeighbour(connection));
    this.#dialler.wake();
  }

  #closed({ dialled, remote }: Connection, error: Error): void {
    if (dialled !== undefined) {
      const peer = remote === undefined ? {} : { peer: remote.name };
      this.#dialler.failed(dialled, errorText(error), { never: isSelf(error), ...peer });
    }
    this.#dialler.wake();
  }

  // ── Identities ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Opens the gossip about identities, and closes the sessions of those that are not accepted any more. */
  #openTrust(): TrustGossip {
    const { name: self, signer, trust, clock } = this.#options;
    const gossip = new TrustGossip({
      ...{ self, signer, trust, clock },
      time: () => this.#neighbours.time(),
      gossip: (payload) => channel.gossip(payload),
    });
    const channel = this.#relay.channel(TRUST_CHANNEL, gossip);
    // What is forgotten of a reachable peer is seen again now: its name must not be free when it leaves.
    trust.events.on("forgotten", (peer) => {
      const record = this.#topology.get(peer);
      if (record === undefined || this.#topology.isSuspended(peer)) return;
      trust.pin(record, this.#neighbours.get(peer)?.remote?.identity === record.identity);
    });
    trust.events.on("revoked", (identity) => {
      for (const connection of [...this.#neighbours].filter(({ remote }) => remote!.identity === identity))
        connection.close(revocation(trust.judge(connection.remote!), connection.remote!));
      this.#topology.revoke(identity);
      this.replicas.revoke(identity);
    });
    return gossip;
  }

  /**
   * Describes the conflicts of names and identities: all, and those of this peer's own. Contradictions of this peer are among the latter;
   * those of others are in {@link Replicas.equivocations}.
   */
  #conflicts(): Pick<MeshStatus, "conflicts" | "ownConflicts"> {
    const { trust } = this.#options;
    const { name: self } = this.#topology.self;
    const nickname = (name: PeerName) => this.#topology.get(name)?.nickname ?? trust.get(name)?.nickname ?? "";
    const isPresent = (name: PeerName) => trust.isPresent(name);
    const all = trust.conflicts
      .list()
      .map((each) => ({ name: each.name, text: conflictText(each, isPresent, nickname) }));
    const own = [
      ...all.filter(({ name }) => name === self),
      ...this.replicas.equivocations
        .filter(({ origin }) => origin === self)
        .map(({ set }) => ({ text: contradictionText(this.#topology.self, set) })),
    ];
    const texts = (some: readonly { readonly text: string }[]) => [...new Set(some.map(({ text }) => text))];
    return { conflicts: texts(all), ownConflicts: texts(own) };
  }

  // ── Topology ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Returns an interval for the present number of peers, in milliseconds. */
  #pace({ least, perPeer, most }: typeof ANNOUNCE_MS): number {
    return Math.min(most, least + perPeer * (this.#topology?.reachableCount ?? 1));
  }

  /** Announces a new link: at once if its peer is not reached otherwise, or else together with others. */
  #announceLink({ remote }: Connection, routes: Routes): void {
    if (routes.unicast(remote!.name) === undefined) return this.#announce.request();
    const { clock } = this.#options;
    this.#announceLater ??= clock.after(this.#pace(FURTHER_LINK_MS), () => this.#announce.request());
  }

  #announceLinks(): void {
    this.#announceLater?.cancel();
    this.#announceLater = undefined;
    if (this.#topology.setLinks([...this.#neighbours].map((connection) => connection.link()))) this.#reroute.request();
  }

  #updateRoutes(): void {
    const { clock, log, events } = this.#options;
    const { suspended, resumed, forgotten } = this.#routing.update(clock.now());
    for (const peer of suspended) events.suspended(peer);
    for (const peer of resumed) events.resumed(peer);
    for (const peer of forgotten) {
      this.replicas.forget(peer);
      events.forgotten(peer);
    }
    this.replicas.peersChanged();
    events.routes();
    this.#options.trust.present(this.#topology.reachable());
    this.rekey.membersChanged();
    const reachable = this.#topology.reachableCount;
    log.debug("routes were computed", { reachable, suspended, resumed, forgotten });
    this.#dialler.wake();
  }

  #repairOnce(): void {
    const { random, log } = this.#options;
    this.#reroute.request();
    this.#spreader.catchUp();
    const [neighbour] = sample(random, [...this.#neighbours], 1);
    if (neighbour === undefined || neighbour.congested) return;
    log.debug("the topology is compared with a neighbour", { peer: peerText(neighbour.remote!) });
    this.#relay.sendStates(neighbour);
  }

  // ── Messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #receive(from: Connection, message: MeshMessage): void {
    try {
      this.#handle(from, message);
    } catch (error) {
      this.#reject(from, message.kind, error);
    }
  }

  /** Drops, counts and logs a malformed message. Malformed data does not close the connection. */
  #reject(from: Connection, kind: string, error: unknown): void {
    this.#malformed.add("malformed", from.remote!.name);
    this.#options.log.warn("a message was rejected", { from: peerText(from.remote!), kind, why: errorText(error) });
  }

  #handle(from: Connection, message: MeshMessage): void {
    switch (message.kind) {
      case "unicast":
      case "broadcast":
      case "gossip":
      case "push":
      case "notices":
      case "branch":
        return this.#relay.receive(from, message);
      case "rekey":
        return this.rekey.receive(rekeyNeighbour(from), message.payload);
      case "overlay":
        from.overlay?.receive(message.payload);
        return;
    }
  }
}
