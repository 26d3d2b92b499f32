import type { Admission } from "#mesh/connection/admission.js";
import { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { Connection } from "#mesh/connection/connection.js";
import { MeteredWire } from "#mesh/connection/metered-wire.js";
import { NeighbourBudgets } from "#mesh/connection/neighbour-budget.js";
import type { NeighbourTable } from "#mesh/connection/neighbour-table.js";
import type { PasswordGuesses } from "#mesh/connection/password-guesses.js";
import { PeerHosts } from "#mesh/connection/peer-hosts.js";
import { PendingHandshakes } from "#mesh/connection/pending-handshakes.js";
import type { DialSchedule } from "#mesh/dialling/schedule.js";
import { GossipTraffic } from "#mesh/gossip-traffic.js";
import type { Handshake } from "#mesh/handshake/handshake.js";
import { certifiedBytes, type Hello } from "#mesh/handshake/hello.js";
import { Initiator } from "#mesh/handshake/initiator.js";
import type { NoiseResult } from "#mesh/handshake/noise.js";
import { PasswordKeys } from "#mesh/handshake/password-keys.js";
import { Responder } from "#mesh/handshake/responder.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { MeshOptions } from "#mesh/options.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import { Refusal, type Refusals } from "#mesh/refusals.js";
import type { Topology } from "#mesh/topology/topology.js";
import type { Wire } from "#mesh/transport.js";
import type { Emitter } from "#src/emitter.js";
import { errorText } from "#src/errors.js";
import { hostOf, portOf } from "#src/net/host-port.js";
import { VERSION } from "#src/version.js";

/** Events of connections. `closed` is sent once for each connection, also for one that never opened. */
export interface ManagerEvents {
  /** The handshake has succeeded, and the connection was admitted. */
  opened: [connection: Connection];
  /** A neighbour has sent a message. */
  message: [from: Connection, message: MeshMessage];
  /** A neighbour has sent a malformed message. */
  malformed: [from: Connection, error: unknown];
  /** The links that this peer announces have changed. */
  links: [];
  /** Frames have begun or ceased to pass on a connection. */
  passing: [connection: Connection];
  /** A connection has ended; the error is the reason. */
  closed: [connection: Connection, error: Error];
}

export interface ConnectionManagerDeps {
  readonly neighbours: NeighbourTable;
  readonly topology: Topology;
  readonly admission: Admission;
  readonly schedule: DialSchedule;
  readonly events: Emitter<ManagerEvents>;
}

type ConnectionManagerOptions = Pick<
  MeshOptions,
  "clock" | "cpuTime" | "received" | "random" | "log" | "staticKey" | "signer" | "secrets" | "clear" | "overlay"
>;

/** Manages connections: begins handshakes, admits peers, opens the overlay, and closes connections. */
export class ConnectionManager {
  readonly #options: ConnectionManagerOptions;
  readonly #deps: ConnectionManagerDeps;
  readonly #handshakes: PendingHandshakes;
  /** What the messages of each neighbour may take. */
  readonly budgets = new NeighbourBudgets();
  /** What was sent and received on each gossip channel. */
  readonly traffic = new GossipTraffic();
  /** Messages that had frames. */
  #carried = 0;
  readonly #assemblies = new AssemblyBudget();
  readonly #passwords: PasswordKeys;
  /** The identity's signature of the X25519 key. */
  readonly #certificate: Uint8Array;
  #terminations = 0;
  #stopped = false;

  constructor(options: ConnectionManagerOptions, deps: ConnectionManagerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#certificate = options.signer.sign("static-key", certifiedBytes(deps.topology.self));
    const { clock, random, log, secrets } = options;
    this.#passwords = new PasswordKeys(secrets);
    const hosts = new PeerHosts(clock, deps);
    this.#handshakes = new PendingHandshakes({ clock, random, log, isPeer: (host) => hosts.has(host) });
  }

  /** Wrong passwords of inbound connections. */
  get guesses(): PasswordGuesses {
    return this.#handshakes.guesses;
  }

  /** Inbound connections that this peer has refused. */
  get refusals(): Refusals {
    return this.#handshakes.refusals;
  }

  /** Number of ended connections. */
  get terminations(): number {
    return this.#terminations;
  }

  /** Begins a handshake on an inbound wire, if the limits allow one more. */
  accept(wire: Wire): void {
    if (this.#stopped) wire.terminate();
    else if (this.#handshakes.admit(wire)) this.open(wire, undefined);
  }

  /** Begins a handshake. @param dialled the address that was dialled; undefined for an inbound wire */
  open(unmetered: Wire, dialled: string | undefined): void {
    const { random, clock, log } = this.#options;
    const wire = this.#metered(unmetered);
    log.debug("a handshake begins", {
      with: wire.remoteAddress,
      role: dialled === undefined ? "responder" : "initiator",
    });
    const hello = this.#hello(wire);
    const { events } = this.#deps;
    const handshake = this.#handshake(wire, dialled, hello);
    const connection = new Connection(
      { clock, random, wire, dialled, handshake, assemblies: this.#assemblies, traffic: this.traffic },
      {
        opened: (opened, result) => {
          wire.charge(opened.remote!.name);
          this.#opened(opened, result, hello);
        },
        message: (from, message) => void events.emit("message", from, message),
        malformed: (from, error) => void events.emit("malformed", from, error),
        responsive: (changed, responsive) => this.#responsive(changed, responsive),
        closed: (closed, error) => this.#closed(closed, error),
      },
    );
    this.#handshakes.begin(connection);
    connection.start();
  }

  /** Closes all connections, and rejects new ones. */
  stop(reason: Error): void {
    this.#stopped = true;
    for (const connection of [...this.#handshakes.connections(), ...this.#deps.neighbours]) connection.close(reason);
  }

  #metered(wire: Wire): MeteredWire {
    const { clock, cpuTime = () => clock.now(), signer, received, log } = this.#options;
    const slowed = (peer: PeerName) =>
      log.warn("the messages of a peer take more than its share of time; it is read more slowly", { peer });
    const carried = () => this.#carried;
    return new MeteredWire(wire, { clock, cpuTime, signer, received, carried, budgets: this.budgets, slowed });
  }

  #handshake(wire: Wire, dialled: string | undefined, hello: Hello): Handshake {
    const { random, staticKey } = this.#options;
    const passwords = this.#passwords;
    const own = { staticKey, random, hello };
    if (dialled === undefined) return new Responder({ ...own, passwords, ...this.#handshakes.challenge(wire) });
    return new Initiator({ ...own, password: passwords.forDial(dialled) });
  }

  #hello(wire: Wire): Hello {
    const { random, clock, clear, overlay } = this.#options;
    const { name, nickname, identity, key, uid, incarnation } = this.#deps.topology.self;
    return {
      name,
      nickname,
      identity,
      key,
      certificate: this.#certificate,
      uid,
      incarnation,
      connectionId: random.below(2 ** 32),
      clock: clock.wall(),
      clear: clear(hostOf(wire.remoteAddress)),
      overlays: overlay.carriers,
      version: VERSION,
    };
  }

  /** Admits the peer of a secured connection. @param hello the hello of this end */
  #opened(connection: Connection, result: NoiseResult, hello: Hello): void {
    this.#handshakes.end(connection);
    const { admission, neighbours, events } = this.#deps;
    const remote = connection.remote!;
    const { dialled } = connection;
    if (dialled !== undefined) this.#options.secrets.succeeded(dialled);
    try {
      admission.admit(connection, hello);
    } catch (error) {
      connection.close(error as Error);
      return;
    }
    neighbours.add(connection);
    this.#handshakes.admitted(connection);
    connection.encrypted = !(hello.clear && remote.clear);
    this.#options.log.info("connected", {
      peer: peerText(remote),
      address: connection.wire.remoteAddress,
      outbound: connection.outbound,
    });
    events.emit("opened", connection);
    this.#openOverlay(connection, result);
  }

  #openOverlay(connection: Connection, { exporter }: NoiseResult): void {
    const { overlay, log } = this.#options;
    const { wire, carriers, outbound, encrypted } = connection;
    const remote = connection.remote!;
    connection.overlay = overlay.open({
      remote,
      carriers,
      outbound,
      remoteHost: hostOf(wire.remoteAddress),
      localHost: hostOf(wire.localAddress),
      remotePort: outbound ? portOf(wire.remoteAddress) : undefined,
      encrypted,
      secret: exporter,
      send: (payload, sent) => connection.send({ kind: "overlay", payload }, sent),
      carried: () => void this.#carried++,
      passes: (passing) => {
        if (!connection.setPassing(passing)) return;
        const link = { peer: peerText(remote), overlay: connection.overlay?.name };
        log.info(passing ? "frames pass" : "frames pass by no carrier", link);
        this.#deps.events.emit("passing", connection);
      },
      doubt: (doubtful) => connection.doubt(doubtful),
    });
  }

  /** Announces a silent link as one without frames, so that all peers route around it. */
  #responsive(connection: Connection, responsive: boolean): void {
    const peer = peerText(connection.remote!);
    if (responsive) this.#options.log.info("the peer answers again", { peer });
    else this.#options.log.warn("the peer does not answer; frames take other routes", { peer });
    this.#deps.events.emit("links");
  }

  #closed(connection: Connection, error: Error): void {
    const { neighbours, events } = this.#deps;
    this.#handshakes.end(connection);
    const { remote, wire, dialled } = connection;
    const refused = remote === undefined && error instanceof Refusal && error.reason === "password";
    if (dialled !== undefined && refused) this.#options.secrets.refused(dialled);
    if (!this.#stopped && !isSelf(error)) {
      this.#terminations++;
      const peer = remote === undefined ? wire.remoteAddress : peerText(remote);
      const { outbound } = connection;
      this.#options.log.info("connection ended", { peer, outbound, why: errorText(error) });
    }
    const wasNeighbour = neighbours.remove(connection);
    this.#handshakes.ended(connection, error);
    // First the end of its dial: new routes start the due attempts.
    events.emit("closed", connection, error);
    if (wasNeighbour) events.emit("links");
  }
}

/** Whether a connection was refused because its other end is this peer itself. */
export const isSelf = (error: Error): boolean => error instanceof Refusal && error.reason === "self";
