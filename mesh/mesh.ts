import { Admission, collisionText } from "#mesh/admission.js";
import type { ChannelOptions, Hello } from "#mesh/channel.js";
import { Connection } from "#mesh/connection.js";
import { MAX_AHEAD_MS, meshTime } from "#mesh/counter.js";
import { type ConnectionView, DialSchedule, type DialTarget } from "#mesh/dial-schedule.js";
import { Dialler } from "#mesh/dialler.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import { GossipRelay } from "#mesh/gossip-relay.js";
import type { MeshMessage } from "#mesh/messages.js";
import { type HandshakeResult, keyPair } from "#mesh/noise.js";
import type { MeshOptions, MeshStatus } from "#mesh/options.js";
import { type PeerName, type PeerRecord, peerText } from "#mesh/peer.js";
import { PendingHandshakes } from "#mesh/pending-handshakes.js";
import { Refusal } from "#mesh/refusals.js";
import { Routes } from "#mesh/routes.js";
import { Topology } from "#mesh/topology.js";
import { sendRecords, TopologyGossip } from "#mesh/topology-gossip.js";
import type { Wire } from "#mesh/transport.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import { hostOf, portOf } from "#src/net/host-port.js";
import { sample } from "#src/random.js";
import { toHex } from "#src/text.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** Periodic repair with one random neighbour, as often as the original gossips. */
export const REPAIR_MS = 30_000;
/** Links and routes settle within this; a burst of changes is one change. */
const ANNOUNCE_MS = 50;
const ROUTES_MS = 20;

/**
 * One peer's part of the mesh: connections to neighbours, what is known of all peers, routes, and gossip. No I/O of its
 * own: wires, time and randomness are given.
 */
export class Mesh {
  readonly #options: MeshOptions;
  readonly #clock: Clock;
  readonly #topology: Topology;
  readonly #maker: DialSchedule;
  readonly #reception: PendingHandshakes;
  readonly #connections = new Map<PeerName, Connection>();
  readonly #admission: Admission;
  readonly #gossip: GossipRelay;
  readonly #topologyGossip: TopologyGossip;
  readonly #dialler: Dialler;
  readonly #announce: ThrottledTask;
  readonly #reroute: ThrottledTask;
  readonly #repair: Timer;
  readonly #stopping = new AbortController();
  #gossipRoutes: Routes;
  #frameRoutes: Routes;
  #terminations = 0;
  #quarantined = 0;

  constructor(options: MeshOptions) {
    this.#options = options;
    this.#clock = options.clock;
    const identity = {
      name: options.name,
      nickname: options.nickname,
      key: toHex(options.staticKey.public),
      uid: toHex(options.random.bytes(8)),
      incarnation: options.incarnation,
    };
    this.#topology = new Topology(identity, () => this.time() + MAX_AHEAD_MS);
    this.#admission = new Admission({
      clock: options.clock,
      topology: this.#topology,
      connections: this.#connections,
      isTarget: (dialled) => this.#maker.targets.some(({ address }) => address === dialled),
      limit: options.connectionLimit,
    });
    this.#reception = new PendingHandshakes(options.clock, options.random, options.log);
    this.#maker = new DialSchedule(options.random, {
      discovery: options.discovery,
      limit: options.connectionLimit,
      port: options.port,
    });
    this.#dialler = new Dialler({
      maker: this.#maker,
      clock: options.clock,
      log: options.log,
      random: options.random,
      dial: options.dial,
      resolve: options.resolve,
      situation: () => ({
        connections: [...this.#connections.values()].map(viewOf),
        records: this.#topology.reachable(),
        self: options.name,
        own: options.ownAddresses,
      }),
      opened: (wire, address) => this.#start(wire, address),
    });
    this.#gossip = new GossipRelay({
      self: options.name,
      clock: options.clock,
      routes: () => this.#gossipRoutes,
      connectionTo: (peer) => this.#connections.get(peer),
      someNeighbours: (except) => this.#someNeighbours(except),
    });
    this.#topologyGossip = new TopologyGossip({
      topology: this.#topology,
      someNeighbours: (except) => this.#someNeighbours(except),
      changed: () => this.#reroute.request(),
      outlived: (incarnation) => this.#outlived(incarnation),
      refused: (from, count) => {
        const why = `${count} records have an incarnation more than a day ahead of the clocks here`;
        this.#setAside(from, "topology", new WeaveError("WEAVE_MESSAGE_MALFORMED", why));
      },
    });
    this.#topology.updateReach(options.clock.now());
    this.#gossipRoutes = this.#frameRoutes = new Routes(options.name, this.#topology.reachable(), "all");
    this.#announce = new ThrottledTask(options.clock, ANNOUNCE_MS, () => this.#announceLinks());
    this.#reroute = new ThrottledTask(options.clock, ROUTES_MS, () => this.#recomputeRoutes());
    this.#repair = every(options.clock, REPAIR_MS, () => this.#repairOnce());
  }

  // ── Operator ──────────────────────────────────────────────────────────────────────────────────────────────────────

  connect(targets: readonly DialTarget[], replace: boolean): void {
    this.#maker.connect(targets, replace, this.#clock.now());
    this.#options.events.targets(this.#maker.targets);
    this.#dialler.wake();
  }

  forget(texts: readonly string[]): void {
    this.#maker.forget(texts);
    this.#options.events.targets(this.#maker.targets);
  }

  /** Registers the receiving end of a channel; names are shared by all peers. */
  channel(name: string, gossiper: Gossiper): GossipChannel {
    return this.#gossip.channel(name, gossiper);
  }

  /** The neighbour on the way of frames to each peer. */
  get frameRoutes(): Routes {
    return this.#frameRoutes;
  }

  /** Milliseconds since the Unix epoch, as this network has it: see {@link meshTime}. */
  time(): number {
    const now = this.#clock.now();
    const clocks = [...this.#connections.values()].map((connection) => connection.remoteTime(now));
    return Math.floor(meshTime(this.#clock.wall(), clocks));
  }

  connectionTo(peer: PeerName): Connection | undefined {
    return this.#connections.get(peer);
  }

  peer(name: PeerName): PeerRecord | undefined {
    return this.#topology.get(name);
  }

  /** Equal at two peers that know the same topology. */
  digest(): string {
    return this.#topology.digest();
  }

  status(): MeshStatus {
    return {
      self: this.#topology.self,
      peers: this.#topology.reachable(),
      suspended: this.#topology.suspended(),
      connections: [...this.#connections.values()],
      attempts: this.#maker.status(),
      targets: this.#maker.targets,
      conflicts: this.#topology.conflicts().map(({ kept, refused }) => collisionText(kept, refused)),
      refused: this.#reception.refusals.list(this.#clock.now()),
      refusals: this.#reception.refusals.counts,
      terminations: this.#terminations,
      quarantined: this.#quarantined,
    };
  }

  stop(): void {
    this.#stopping.abort();
    this.#repair.cancel();
    this.#dialler.stop();
    this.#announce.cancel();
    this.#reroute.cancel();
    const error = new WeaveError("WEAVE_CONNECTION", `${peerText(this.#topology.self)} is stopping`);
    for (const connection of [...this.#reception.connections(), ...this.#connections.values()]) connection.close(error);
  }

  // ── Connections ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes an inbound wire. */
  accept(wire: Wire): void {
    if (this.#stopping.signal.aborted) wire.terminate();
    else if (this.#reception.admit(wire)) this.#start(wire, undefined);
  }

  #start(wire: Wire, dialled: string | undefined): void {
    const { random, staticKey, psk, clear, overlay, log } = this.#options;
    log.debug("a handshake begins", {
      with: wire.remoteAddress,
      role: dialled === undefined ? "responder" : "initiator",
    });
    const { name, nickname, key, uid, incarnation } = this.#topology.self;
    const hello: Hello = {
      name,
      nickname,
      key,
      uid,
      incarnation,
      connectionId: random.below(2 ** 32),
      clock: this.#clock.wall(),
      clear: clear(hostOf(wire.remoteAddress)),
      overlays: overlay.carriers,
    };
    const options: ChannelOptions = {
      role: dialled === undefined ? "responder" : "initiator",
      staticKey,
      makeEphemeralKey: () => keyPair(random.bytes(32)),
      hello,
      ...(psk ? { psk } : {}),
      ...(dialled === undefined ? this.#reception.challenge(wire) : {}),
    };
    const connection = new Connection(this.#clock, wire, dialled, options, {
      opened: (opened, secured) => this.#opened(opened, secured, hello),
      message: (from, message) => this.#onMessage(from, message),
      malformed: (from, error) => this.#setAside(from, "unknown", error),
      responsive: (changed, responsive) => this.#responsive(changed, responsive),
      closed: (closed, error) => this.#closed(closed, error),
    });
    this.#reception.begin(connection);
    connection.start();
  }

  #opened(connection: Connection, secured: HandshakeResult, hello: Hello): void {
    this.#reception.end(connection);
    const remote = connection.remote!;
    try {
      this.#admission.admit(connection, hello);
    } catch (error) {
      connection.close(error as Error);
      return;
    }
    this.#connections.set(remote.name, connection);
    this.#reception.admitted(connection);
    if (connection.dialled !== undefined) this.#maker.succeeded(connection.dialled, remote.name);
    connection.encrypted = !(hello.clear && remote.clear);
    const { log, overlay } = this.#options;
    log.info("connected", {
      peer: peerText(remote),
      address: connection.wire.remoteAddress,
      outbound: connection.outbound,
    });
    // Version 0: whatever the peer says of itself replaces it.
    const { name, nickname, key, uid, incarnation } = remote;
    this.#topologyGossip.merge(connection, [{ name, nickname, key, uid, incarnation, version: 0, links: [] }], []);
    this.#announceLinks();
    // Its clock was set back, or its disk restored: it goes beyond what we show it.
    const known = this.#topology.get(name);
    if (known !== undefined && known.incarnation > incarnation) sendRecords(connection, [known]);
    connection.send({ kind: "topology", records: [this.#topology.self], deltas: [] });
    connection.send({ kind: "digest", digest: this.#topology.digest() });
    this.#gossip.sendStates(connection);
    connection.overlay = overlay.open({
      remote,
      carriers: connection.carriers,
      outbound: connection.outbound,
      remoteHost: hostOf(connection.wire.remoteAddress),
      localHost: hostOf(connection.wire.localAddress),
      remotePort: connection.outbound ? portOf(connection.wire.remoteAddress) : undefined,
      encrypted: connection.encrypted,
      secret: secured.exporter,
      send: (payload, sent) => connection.send({ kind: "overlay", payload }, sent),
      passes: (passing) => {
        if (!connection.setPassing(passing)) return;
        const link = { peer: peerText(remote), overlay: connection.overlay?.name };
        log.info(passing ? "frames pass" : "frames pass by no carrier", link);
        this.#announce.request();
        this.#dialler.wake();
      },
      doubt: (doubtful) => connection.doubt(doubtful),
    });
    this.#dialler.wake();
  }

  /** A link without an answer is announced as one that passes no frames, so that all peers route around it. */
  #responsive(connection: Connection, responsive: boolean): void {
    const peer = peerText(connection.remote!);
    if (responsive) this.#options.log.info("the peer answers again", { peer });
    else this.#options.log.warn("the peer does not answer; frames take other ways", { peer });
    this.#announce.request();
  }

  #closed(connection: Connection, error: Error): void {
    this.#reception.end(connection);
    const { remote, dialled } = connection;
    const self = error instanceof Refusal && error.reason === "self";
    const peer = remote === undefined ? connection.wire.remoteAddress : peerText(remote);
    if (!this.#stopping.signal.aborted && !self) {
      this.#terminations++;
      this.#options.log.info("connection ended", { peer, why: errorText(error) });
    }
    if (remote !== undefined && this.#connections.get(remote.name) === connection) {
      this.#connections.delete(remote.name);
      this.#announce.request();
    }
    if (dialled !== undefined) {
      this.#maker.failed(dialled, errorText(error), this.#clock.now(), {
        never: self,
        ...(remote ? { peer: remote.name } : {}),
      });
    }
    this.#reception.ended(connection, error);
    if (!this.#stopping.signal.aborted) this.#dialler.wake();
  }

  // ── Topology ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #announceLinks(): void {
    const delta = this.#topology.setLinks([...this.#connections.values()].map((connection) => connection.link()));
    if (delta === undefined) return;
    this.#topologyGossip.spread([delta], undefined);
    this.#reroute.request();
  }

  /** Others held a record of ours that was later than ours, or forged. */
  #outlived(incarnation: number): void {
    const { log, events } = this.#options;
    log.warn("others held a later record of this peer; it goes by a later one now", { incarnation });
    events.incarnation(incarnation);
  }

  /** Enough random neighbours for news to reach all peers with near certainty; repair sees to the rest. */
  #someNeighbours(except: Connection | undefined): Connection[] {
    const all = [...this.#connections.values()].filter((connection) => connection !== except);
    return sample(this.#options.random, all, Math.ceil(Math.log2(this.#topology.reachable().length + 1)) + 2);
  }

  #recomputeRoutes(): void {
    const { suspended, resumed, forgotten } = this.#topology.updateReach(this.#clock.now());
    const reachable = this.#topology.reachable();
    this.#gossipRoutes = new Routes(this.#options.name, reachable, "all");
    this.#frameRoutes = new Routes(this.#options.name, reachable, "established");
    const { events } = this.#options;
    for (const peer of suspended) events.suspended(peer);
    for (const peer of resumed) events.resumed(peer);
    for (const peer of forgotten) events.forgotten(peer);
    events.routes();
    this.#options.log.debug("routes were computed", { reachable: reachable.length, suspended, resumed, forgotten });
    this.#dialler.wake();
  }

  #repairOnce(): void {
    this.#reroute.request();
    const [neighbour] = sample(this.#options.random, [...this.#connections.values()], 1);
    if (neighbour === undefined || neighbour.congested) return;
    this.#options.log.debug("what is known is compared with a neighbour", { peer: peerText(neighbour.remote!) });
    neighbour.send({ kind: "digest", digest: this.#topology.digest() });
    this.#gossip.sendStates(neighbour);
    for (const connection of this.#connections.values()) this.#gossip.catchUp(connection);
  }

  // ── Messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #onMessage(from: Connection, message: MeshMessage): void {
    try {
      this.#handle(from, message);
    } catch (error) {
      this.#setAside(from, message.kind, error);
    }
  }

  /** Data never closes a connection: the bad part is dropped, counted and named. */
  #setAside(from: Connection, kind: string, error: unknown): void {
    this.#quarantined++;
    this.#options.log.warn("a message was set aside", { from: peerText(from.remote!), kind, why: errorText(error) });
  }

  #handle(from: Connection, message: MeshMessage): void {
    switch (message.kind) {
      case "topology":
      case "digest":
        return this.#topologyGossip.receive(from, message);
      case "summary":
      case "want":
        this.#options.log.debug("records are repaired", { peer: peerText(from.remote!), kind: message.kind });
        return this.#topologyGossip.receive(from, message);
      case "unicast":
      case "broadcast":
      case "gossip":
        return this.#gossip.receive(from, message);
      case "overlay":
        from.overlay?.receive(message.payload);
        return;
    }
  }
}

const viewOf = (connection: Connection): ConnectionView => ({
  remoteAddress: connection.wire.remoteAddress,
  outbound: connection.outbound,
  dialled: connection.dialled,
  peer: connection.remote!.name,
});
