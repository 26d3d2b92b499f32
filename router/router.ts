import { availableParallelism, networkInterfaces } from "node:os";
import type { Docker } from "#docker/docker.js";
import type { DialTarget } from "#mesh/dial-schedule.js";
import { Mesh } from "#mesh/mesh.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import type { Wire } from "#mesh/transport.js";
import { Ipam } from "#router/addresses/ipam.js";
import { parseIpamOptions } from "#router/addresses/options.js";
import { CARRIERS } from "#router/carrier-list.js";
import { Carriers } from "#router/carriers/carriers.js";
import { Datapath, threadsFor } from "#router/datapath/datapath.js";
import { allowedOffloads } from "#router/datapath/offloads.js";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { AT_LANE } from "#router/datapath/record.js";
import { handleDatapathEvent, nextHopTo } from "#router/datapath-events.js";
import { Exposure } from "#router/exposure/exposure.js";
import { frameRouteTable } from "#router/frame-routes.js";
import { HostWatch } from "#router/host/host-watch.js";
import { NamespaceWatch } from "#router/host/namespace-watch.js";
import { parseDnsOptions } from "#router/names/options.js";
import { WeaveDns } from "#router/names/weave-dns.js";
import { hostPorts, type RouterOptions } from "#router/options.js";
import { loadIdentity, saveIncarnation } from "#router/peers/identity.js";
import { passwordKey } from "#router/peers/password.js";
import { PeerDirectory } from "#router/peers/peer-directory.js";
import { loadTargets, MAX_TARGETS, parseTarget, resolveHost, saveTargets } from "#router/targets.js";
import { dialWebSocket, listenWebSocket, type WebSocketListener } from "#router/ws-transport.js";
import { inSubnets, parseCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import { hostFirewall } from "#src/linux/firewall/host-firewall.js";
import { addRouterPort, ensureBridge, findBridge } from "#src/linux/links/bridge.js";
import { deleteLink } from "#src/linux/links/links.js";
import { machineIdBytes } from "#src/linux/machine-id.js";
import { closeFd } from "#src/linux/native/files.js";
import { openTap, type TapDevice } from "#src/linux/native/tap.js";
import { type FrameSockets, openFrameSockets } from "#src/linux/native/udp.js";
import { RouteWatch } from "#src/linux/routes/route-watch.js";
import { linkMtuTo, sourceTo } from "#src/linux/routes/routes.js";
import { type Log, limited } from "#src/log.js";
import type { LogTarget } from "#src/log-pino.js";
import { macNumber } from "#src/mac.js";
import { listenEndpoint } from "#src/net/endpoint.js";
import { hostOf } from "#src/net/host-port.js";
import { databaseFile } from "#src/paths.js";
import type { Problems } from "#src/problems.js";
import { systemRandom } from "#src/random.js";
import { requireRoot } from "#src/root.js";
import type { Store } from "#src/store.js";
import { lmdbStore } from "#src/store-lmdb.js";
import { settledWithin } from "#src/time-limit.js";

export interface RouterStart {
  readonly options: RouterOptions;
  /** Listens already; undefined without Docker. */
  readonly docker: Docker | undefined;
  /** The supervisor starts us again after a crash: the targets are the stored ones. */
  readonly restarted: boolean;
  readonly log: LogTarget;
  readonly problems: Problems;
  /** The frame path is gone: the process must end, to be started again. */
  readonly onFatal: (error: Error) => void;
}

/** The TAP's name; one router, one TAP, in one network namespace. */
export const TAP_NAME = "weave-tap";
/** What a failed start made is removed in this time, or left: the reason must get to the user. */
const UNDO_MS = 1_000;

/** Everything of a running router, put together. */
export class Router {
  readonly options: RouterOptions;
  readonly mesh: Mesh;
  readonly datapath: Datapath;
  readonly exposure: Exposure;
  /** Undefined when it is off. */
  readonly ipam: Ipam | undefined;
  readonly dns: WeaveDns | undefined;
  readonly docker: Docker | undefined;
  readonly log: Log;
  readonly problems: Problems;
  readonly #target: LogTarget;
  readonly #watch: NamespaceWatch;
  readonly #routeWatch: RouteWatch;
  readonly #hostWatch: HostWatch;
  readonly #store: Store;
  readonly #tap: TapDevice;
  readonly #sockets: FrameSockets;
  readonly #listener: WebSocketListener;

  private constructor(parts: {
    options: RouterOptions;
    mesh: Mesh;
    datapath: Datapath;
    exposure: Exposure;
    ipam: Ipam | undefined;
    dns: WeaveDns | undefined;
    docker: Docker | undefined;
    watch: NamespaceWatch;
    routeWatch: RouteWatch;
    hostWatch: HostWatch;
    log: Log;
    target: LogTarget;
    problems: Problems;
    store: Store;
    tap: TapDevice;
    sockets: FrameSockets;
    listener: WebSocketListener;
  }) {
    this.options = parts.options;
    this.mesh = parts.mesh;
    this.datapath = parts.datapath;
    this.exposure = parts.exposure;
    this.ipam = parts.ipam;
    this.dns = parts.dns;
    this.docker = parts.docker;
    this.#watch = parts.watch;
    this.#routeWatch = parts.routeWatch;
    this.#hostWatch = parts.hostWatch;
    this.log = parts.log;
    this.#target = parts.target;
    this.problems = parts.problems;
    this.#store = parts.store;
    this.#tap = parts.tap;
    this.#sockets = parts.sockets;
    this.#listener = parts.listener;
  }

  /**
   * Starts a router. What can fail for the user's reasons is done first, and undone when something later fails.
   *
   * @throws WeaveError, with words for the user
   */
  static async start(start: RouterStart): Promise<Router> {
    requireRoot();
    const undo: (() => void | Promise<void>)[] = [];
    try {
      return await Router.#assemble(start, limited(start.log, systemClock), undo);
    } catch (error) {
      await settledWithin(undoAll(undo), UNDO_MS);
      throw error;
    }
  }

  static async #assemble(
    { options, docker, restarted, log: target, problems, onFatal }: RouterStart,
    log: Log,
    undo: (() => void | Promise<void>)[],
  ): Promise<Router> {
    const store = lmdbStore(databaseFile(options.dbPrefix));
    undo.push(() => store.close());
    const targets =
      restarted || options.resume
        ? loadTargets(store, options.port)
        : options.peers.map((peer) => parseTarget(peer, options.port));
    const bridgeMac = (await findBridge(options.bridge))?.address;
    const identity = loadIdentity({
      store,
      clock: systemClock,
      random: systemRandom,
      name: options.name,
      bridgeMac,
      machine: machineIdBytes(),
    });
    const psk = options.password === undefined ? undefined : await passwordKey(options.password);

    const lanes = options.datapathThreads || threadsFor(availableParallelism());
    const allowed = allowedOffloads(options.offloadsOff);
    const sockets = openFrameSockets(listenEndpoint(options.host, options.port), lanes, AT_LANE, allowed);
    undo.push(() => sockets.fds.forEach(closeFd));
    // Before anything is made on the host: a port in use is the commonest reason to fail.
    let accept: (wire: Wire) => void = (wire) => wire.close();
    const listener = await listenWebSocket(options.host, options.port, (wire) => accept(wire));
    undo.push(() => listener.close());
    const tap = openTap(TAP_NAME, lanes, allowed);
    undo.push(() => tap.close());
    if (await ensureBridge(options.bridge, identity.name, options.mtu)) undo.push(() => deleteLink(options.bridge));
    await addRouterPort(options.bridge, TAP_NAME, options.mtu);

    let onEvent: (event: DatapathEvent) => void = () => {};
    let onRoutes: () => void = () => {};
    let onForgotten: (peer: PeerName) => void = () => {};
    const datapath = new Datapath({
      self: macNumber(identity.name),
      tap,
      sockets,
      openssl: allowed.openssl,
      onEvent: (event) => onEvent(event),
      onFailure: onFatal,
    });
    undo.push(() => datapath.stop());
    const carriers = new Carriers({
      carriers: CARRIERS,
      datapath,
      linkMtu: linkMtuTo,
      sourceTo,
      clock: systemClock,
      random: systemRandom,
      log,
    });
    const routeWatch = new RouteWatch(() => carriers.linksChanged());
    undo.push(() => routeWatch.stop());

    const trusted = options.trustedSubnets.map(parseCidr);
    const mesh: Mesh = new Mesh({
      name: identity.name,
      nickname: options.nickname,
      incarnation: identity.incarnation,
      staticKey: identity.staticKey,
      ...(psk ? { psk } : {}),
      port: options.port,
      discovery: options.discovery,
      connectionLimit: options.connectionLimit,
      clear: (host) => !options.encryption || inSubnets(host, trusted),
      overlay: carriers,
      dial: (address, signal) => dialWebSocket(address, options.host || undefined, signal),
      resolve: resolveHost,
      ownAddresses,
      clock: systemClock,
      random: systemRandom,
      log,
      events: {
        routes: () => {
          datapath.send({ do: "routes", routes: frameRouteTable(mesh.frameRoutes, (peer) => nextHopTo(mesh, peer)) });
          onRoutes();
        },
        suspended: (peer) => {
          log.info("peer out of reach", { peer });
          datapath.send({ do: "forget", peer: macNumber(peer) });
        },
        resumed: (peer) => log.info("peer within reach again", { peer }),
        forgotten: (peer) => {
          log.info("peer forgotten", { peer });
          onForgotten(peer);
        },
        incarnation: (now) => saveIncarnation(store, now),
        targets: (now) => saveTargets(store, now),
      },
    });
    undo.push(() => mesh.stop());
    onEvent = (event) =>
      handleDatapathEvent(event, { carriers, mesh, datapath, bridge: options.bridge, tap: TAP_NAME, log });

    const exposure = new Exposure({
      store,
      rules: {
        bridge: options.bridge,
        hostPorts: hostPorts(options, docker !== undefined),
        meshPort: options.port,
        dockerBridge: docker && options.docker.bridge,
      },
      firewall: hostFirewall(docker !== undefined),
      log,
      problems,
    });
    await exposure.restore();
    const hostWatch = new HostWatch({
      made: { bridge: options.bridge, mac: identity.name, mtu: options.mtu, tap: TAP_NAME },
      others: (links) => exposure.lookAfter(links),
      onTapGone: (what) => onFatal(new WeaveError("WEAVE_NATIVE", what)),
      problems,
      log,
    });
    undo.push(() => hostWatch.stop());
    // Containers may have been taken off the bridge while no router ran.
    await hostWatch.look();

    const directory = new PeerDirectory(mesh, store);
    onRoutes = () => directory.update();
    const common = { self: identity.name, mesh, directory, store, log };
    const ipamOptions = parseIpamOptions(options);
    const ipam = ipamOptions && new Ipam({ options: ipamOptions, ...common });
    undo.push(() => ipam?.stop());
    const dnsOptions = parseDnsOptions(options);
    const { incarnation } = identity;
    const dockerBridge = options.docker.bridge;
    const dns = dnsOptions && (await WeaveDns.start({ options: dnsOptions, incarnation, dockerBridge, ...common }));
    undo.push(() => dns?.stop());
    onForgotten = (peer) => dns?.names.forgotten(peer);
    const holders = [ipam, dns].filter((holder) => holder !== undefined);
    const watch = new NamespaceWatch(holders, log);
    undo.push(() => watch.stop());
    await watch.look();
    await ipam?.reclaim(exposure.addresses, docker !== undefined);
    docker?.start({
      self: identity.name,
      incarnation,
      mesh,
      directory,
      store,
      bridge: options.bridge,
      mtu: options.mtu,
      ipam: ipam && {
        requests: ipam.allocator.requests,
        range: ipam.allocator.range,
        defaultSubnet: ipam.defaultSubnet,
        takeLeft: (ident) => ipam.takeLeft(ident),
      },
      dns: dns && { names: dns.names, address: () => dns.recentAddress(options.bridge) },
      holders,
      problems,
    });

    const router = new Router({
      options,
      mesh,
      datapath,
      exposure,
      ipam,
      dns,
      docker,
      watch,
      routeWatch,
      hostWatch,
      log,
      target,
      problems,
      store,
      tap,
      sockets,
      listener,
    });
    accept = (wire) => mesh.accept(wire);
    mesh.connect(targets, true);
    log.info("router started", {
      peer: peerText(mesh.status().self),
      port: options.port,
      password: options.password !== undefined,
      mtu: options.mtu,
    });
    return router;
  }

  /** Lines of the log that were lost since the start, for want of a disk or a reader that takes them. */
  get logLinesLost(): number {
    return this.#target.lost;
  }

  /**
   * Adds targets. What is no target at all is named in the answer, and so are names that cannot be resolved now: these are
   * tried again, like everything that does not answer.
   */
  async connect(peers: readonly string[], replace: boolean): Promise<string[]> {
    const errors: string[] = [];
    const targets: DialTarget[] = [];
    for (const peer of peers) {
      try {
        targets.push(parseTarget(peer, this.options.port));
      } catch (error) {
        errors.push(errorText(error));
      }
    }
    const kept = replace ? 0 : this.mesh.status().targets.length;
    if (kept + targets.length > MAX_TARGETS) {
      throw new WeaveError("WEAVE_PEER_INVALID", `a router has at most ${MAX_TARGETS} targets`, {
        next: "Peers find one another: one or two targets are enough. 'weave forget' drops some.",
      });
    }
    this.mesh.connect(targets, replace);
    const lookups = targets.map(({ address }) => resolveHost(hostOf(address)));
    for (const result of await Promise.allSettled(lookups))
      if (result.status === "rejected") errors.push(`${errorText(result.reason)}; it is tried again`);
    return errors;
  }

  /** Ends everything, in an order that loses nothing. The bridge and the containers on it stay as they are. */
  async stop(): Promise<void> {
    this.#watch.stop();
    this.#routeWatch.stop();
    await this.#hostWatch.stop();
    await this.docker?.stop();
    this.ipam?.stop();
    await this.dns?.stop();
    this.mesh.stop();
    // A breath for the farewells to leave before their sockets do.
    await new Promise((resolve) => setTimeout(resolve, 20));
    await this.#listener.close();
    await this.datapath.stop();
    this.#tap.close();
    this.#sockets.fds.forEach(closeFd);
    await deleteLink(TAP_NAME).catch(() => {});
    await this.#store.close();
    this.log.info("router stopped");
  }
}

async function undoAll(steps: (() => void | Promise<void>)[]): Promise<void> {
  for (const step of steps.reverse())
    await Promise.resolve()
      .then(step)
      .catch(() => {});
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
}
