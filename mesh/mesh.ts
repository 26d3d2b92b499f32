import type { ChannelOptions, Hello } from "#mesh/channel.js";
import { Connection } from "#mesh/connection.js";
import { ConnectionMaker, type ConnectionView, type Target } from "#mesh/connection-maker.js";
import { CookieJar } from "#mesh/cookie.js";
import { Dialler } from "#mesh/dialler.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import { GossipRelay } from "#mesh/gossip-relay.js";
import type { Message } from "#mesh/messages.js";
import { keyPair, type Transport as Secured } from "#mesh/noise.js";
import type { MeshOptions, MeshStatus } from "#mesh/options.js";
import { type PeerDelta, type PeerName, type PeerRecord, peerText } from "#mesh/peer.js";
import { Routes } from "#mesh/routes.js";
import { isDelta, Topology } from "#mesh/topology.js";
import { hostOf, portOf, type Wire } from "#mesh/transport.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { Coalescer } from "#src/coalesce.js";
import { textOf, WeaveError } from "#src/errors.js";
import { toHex } from "#src/hex.js";
import { sample } from "#src/random.js";
import { RateLimiter } from "#src/token-bucket.js";

/** Periodic repair with one random neighbour, as often as the original gossips. */
export const REPAIR_MS = 30_000;
/** Handshakes from one address: the original's accept rate. */
const ACCEPT = { perSecond: 20, burst: 20 };
/** Handshakes under way at once before a cookie is asked for, and before any more are turned away. */
const COOKIES_ABOVE = 32;
const MAX_HANDSHAKES = 256;
/** Links and routes settle within this; a burst of changes is one change. */
const ANNOUNCE_MS = 50;
const ROUTES_MS = 20;

/** An error that makes another attempt pointless. */
class Final extends WeaveError {}

/**
 * One peer's part of the mesh: connections to neighbours, what is known of all peers, routes, and gossip. No I/O of its
 * own: wires, time and randomness are given.
 */
export class Mesh {
  readonly #options: MeshOptions;
  readonly #clock: Clock;
  readonly #topology: Topology;
  readonly #maker: ConnectionMaker;
  readonly #cookies: CookieJar;
  readonly #accepts: RateLimiter;
  readonly #handshakes = new Set<Connection>();
  readonly #connections = new Map<PeerName, Connection>();
  /** The id that both ends give a connection; of two to the same peer, the lower one stays. */
  readonly #ranks = new WeakMap<Connection, number>();
  readonly #gossip: GossipRelay;
  readonly #dialler: Dialler;
  readonly #announce: Coalescer;
  readonly #reroute: Coalescer;
  readonly #repair: Timer;
  readonly #stopping = new AbortController();
  #gossipRoutes: Routes;
  #frameRoutes: Routes;
  #terminations = 0;
  #quarantined = 0;

  constructor(options: MeshOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#topology = new Topology({
      name: options.name,
      nickname: options.nickname,
      key: toHex(options.staticKey.public),
      uid: toHex(options.random.bytes(8)),
      incarnation: options.incarnation,
    });
    this.#maker = new ConnectionMaker(options.random, {
      discovery: options.discovery,
      limit: options.connectionLimit,
      port: options.port,
    });
    this.#dialler = new Dialler({
      maker: this.#maker,
      clock: options.clock,
      log: options.log,
      dial: options.dial,
      self: options.name,
      connections: () => [...this.#connections.values()].map(viewOf),
      records: () => this.#topology.reachable(),
      opened: (wire, address) => this.#start(wire, address),
    });
    this.#gossip = new GossipRelay({
      self: options.name,
      clock: options.clock,
      routes: () => this.#gossipRoutes,
      connectionTo: (peer) => this.#connections.get(peer),
      someNeighbours: (except) => this.#someNeighbours(except),
    });
    this.#cookies = new CookieJar(options.clock, options.random);
    this.#accepts = new RateLimiter(options.clock, ACCEPT);
    this.#topology.updateReach(options.clock.now());
    this.#gossipRoutes = this.#frameRoutes = new Routes(options.name, this.#topology.reachable(), "all");
    this.#announce = new Coalescer(options.clock, ANNOUNCE_MS, () => this.#announceLinks());
    this.#reroute = new Coalescer(options.clock, ROUTES_MS, () => this.#recomputeRoutes());
    this.#repair = every(options.clock, REPAIR_MS, () => this.#repairOnce());
  }

  // ── Operator ──────────────────────────────────────────────────────────────────────────────────────────────────────

  connect(targets: readonly Target[], replace: boolean): void {
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
    for (const connection of [...this.#handshakes, ...this.#connections.values()]) connection.close(error);
  }

  // ── Connections ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes an inbound wire. */
  accept(wire: Wire): void {
    const host = hostOf(wire.remoteAddress);
    if (this.#stopping.signal.aborted || this.#handshakes.size >= MAX_HANDSHAKES || !this.#accepts.admit(host)) {
      wire.close();
      this.#options.log.warn("too many connection attempts; some are turned away", { from: host });
      return;
    }
    const underLoad = this.#handshakes.size >= COOKIES_ABOVE;
    this.#start(wire, undefined, underLoad ? { jar: this.#cookies, address: host } : undefined);
  }

  #start(wire: Wire, dialled: string | undefined, cookies?: ChannelOptions["cookies"]): void {
    const { random, staticKey, psk, clear, overlay } = this.#options;
    const { name, nickname, key, uid, incarnation } = this.#topology.self;
    const hello: Hello = {
      name,
      nickname,
      key,
      uid,
      incarnation,
      connectionId: random.below(2 ** 32),
      clear: clear(hostOf(wire.remoteAddress)),
      overlays: [overlay.name],
    };
    const options: ChannelOptions = {
      role: dialled === undefined ? "responder" : "initiator",
      staticKey,
      makeEphemeralKey: () => keyPair(random.bytes(32)),
      hello,
      ...(psk ? { psk } : {}),
      ...(cookies ? { cookies } : {}),
    };
    const connection = new Connection(this.#clock, wire, dialled, options, {
      opened: (opened, secured) => this.#opened(opened, secured, hello),
      message: (from, message) => this.#onMessage(from, message),
      malformed: (from, error) => this.#setAside(from, "unknown", error),
      responsive: (changed, responsive) => this.#responsive(changed, responsive),
      closed: (closed, error) => this.#closed(closed, error),
    });
    this.#handshakes.add(connection);
    connection.start();
  }

  #opened(connection: Connection, secured: Secured, hello: Hello): void {
    this.#handshakes.delete(connection);
    const remote = connection.remote!;
    try {
      this.#admit(connection, remote, hello);
    } catch (error) {
      connection.close(error as Error);
      return;
    }
    this.#connections.set(remote.name, connection);
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
    this.#hear(connection, [{ name, nickname, key, uid, incarnation, version: 0, links: [] }], []);
    this.#announceLinks();
    connection.send({ kind: "topology", records: [this.#topology.self], deltas: [] });
    connection.send({ kind: "digest", digest: this.#topology.digest() });
    this.#gossip.sendStates(connection);
    connection.overlay = overlay.open({
      remote,
      outbound: connection.outbound,
      remoteHost: hostOf(connection.wire.remoteAddress),
      localHost: hostOf(connection.wire.localAddress),
      remotePort: connection.outbound ? portOf(connection.wire.remoteAddress) : undefined,
      encrypted: connection.encrypted,
      secret: secured.exporter,
      send: (payload, sent) => connection.send({ kind: "overlay", payload }, sent),
      established: () => {
        if (!connection.established()) return;
        log.info("frames pass", { peer: peerText(remote), overlay: connection.overlay?.name ?? overlay.name });
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

  /** Decides whether a connection may stay; of two to the same peer, both ends keep the same one. @throws why not */
  #admit(connection: Connection, remote: Hello, hello: Hello): void {
    const self = this.#topology.self;
    if (remote.uid === self.uid) throw new Final("WEAVE_CONNECTION", "cannot connect to ourself");
    if (remote.name === self.name || remote.key === self.key)
      throw new Final("WEAVE_CONNECTION", collisionText(self, remote));
    const known = this.#topology.get(remote.name);
    if (known !== undefined && known.key !== remote.key && !this.#topology.isSuspended(remote.name)) {
      throw new Final("WEAVE_CONNECTION", collisionText(known, remote));
    }
    const { dialled } = connection;
    const direct = dialled === undefined || this.#maker.targets.some(({ address }) => address === dialled);
    if (!direct && known === undefined)
      throw new WeaveError("WEAVE_CONNECTION", `Found unknown remote name: ${remote.name} at ${dialled}`);
    const other = this.#connections.get(remote.name);
    if (other !== undefined) {
      const duplicate = new WeaveError(
        "WEAVE_CONNECTION",
        `Multiple connections to ${peerText(remote)} added to ${peerText(self)}`,
      );
      // One that is silent has ended at the other side, which would not dial otherwise.
      const both = other.remote!.uid === remote.uid && !other.silent;
      if (both && sharedId(hello, remote) >= this.#ranks.get(other)!) throw duplicate;
      // The other one loses, or belongs to an earlier life of the peer.
      other.close(duplicate);
    }
    const limit = this.#options.connectionLimit;
    if (limit > 0 && this.#connections.size >= limit)
      throw new WeaveError("WEAVE_CONNECTION", `Connection limit reached (${limit})`);
    this.#ranks.set(connection, sharedId(hello, remote));
  }

  #closed(connection: Connection, error: Error): void {
    this.#handshakes.delete(connection);
    const { remote, dialled } = connection;
    const self = remote !== undefined && remote.uid === this.#topology.self.uid;
    const peer = remote === undefined ? connection.wire.remoteAddress : peerText(remote);
    if (!this.#stopping.signal.aborted && !self) {
      this.#terminations++;
      this.#options.log.info("connection ended", { peer, why: textOf(error) });
    }
    if (remote !== undefined && this.#connections.get(remote.name) === connection) {
      this.#connections.delete(remote.name);
      this.#announce.request();
    }
    if (dialled !== undefined) {
      this.#maker.failed(dialled, textOf(error), this.#clock.now(), {
        never: error instanceof Final,
        ...(remote ? { peer: remote.name } : {}),
      });
    }
    if (!this.#stopping.signal.aborted) this.#dialler.wake();
  }

  // ── Topology ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #announceLinks(): void {
    const delta = this.#topology.setLinks([...this.#connections.values()].map((connection) => connection.link()));
    if (delta === undefined) return;
    this.#spreadTopology([delta], undefined);
    this.#reroute.request();
  }

  #hear(from: Connection, records: readonly PeerRecord[], deltas: readonly PeerDelta[]): void {
    const { news, wanted } = this.#topology.merge([...records, ...deltas]);
    if (wanted.length > 0) from.send({ kind: "want", names: wanted });
    if (news.length === 0) return;
    this.#spreadTopology(news, from);
    this.#reroute.request();
  }

  #spreadTopology(news: readonly (PeerRecord | PeerDelta)[], except: Connection | undefined): void {
    const deltas = news.filter(isDelta);
    const records = news.filter((item): item is PeerRecord => !isDelta(item));
    for (const connection of this.#someNeighbours(except)) {
      // Repair tells a slow neighbour later.
      if (!connection.congested) connection.send({ kind: "topology", records, deltas });
    }
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
    this.#dialler.wake();
  }

  #repairOnce(): void {
    this.#reroute.request();
    const [neighbour] = sample(this.#options.random, [...this.#connections.values()], 1);
    if (neighbour === undefined || neighbour.congested) return;
    neighbour.send({ kind: "digest", digest: this.#topology.digest() });
    this.#gossip.sendStates(neighbour);
    for (const connection of this.#connections.values()) this.#gossip.catchUp(connection);
  }

  // ── Messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #onMessage(from: Connection, message: Message): void {
    try {
      this.#handle(from, message);
    } catch (error) {
      this.#setAside(from, message.kind, error);
    }
  }

  /** Data never closes a connection: the bad part is dropped, counted and named. */
  #setAside(from: Connection, kind: string, error: unknown): void {
    this.#quarantined++;
    this.#options.log.warn("a message was set aside", { from: peerText(from.remote!), kind, why: textOf(error) });
  }

  #handle(from: Connection, message: Message): void {
    switch (message.kind) {
      case "topology":
        return this.#hear(from, message.records, message.deltas);
      case "digest":
        if (message.digest !== this.#topology.digest())
          from.send({ kind: "summary", entries: this.#topology.summary() });
        return;
      case "summary": {
        const { lacking, wanted } = this.#topology.compare(message.entries);
        if (lacking.length > 0) from.send({ kind: "topology", records: lacking, deltas: [] });
        if (wanted.length > 0) from.send({ kind: "want", names: wanted });
        return;
      }
      case "want": {
        const records = message.names.map((name) => this.#topology.get(name)).filter((record) => record !== undefined);
        if (records.length > 0) from.send({ kind: "topology", records, deltas: [] });
        return;
      }
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
  peer: connection.remote!.name,
});

function collisionText(
  local: { name: PeerName; nickname: string },
  remote: { name: PeerName; nickname: string },
): string {
  return `local "${peerText(local)}" and remote "${peerText(remote)}" peer names collision`;
}

const sharedId = (ours: Hello, theirs: Hello): number => (ours.connectionId ^ theirs.connectionId) >>> 0;
