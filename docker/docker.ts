import { AddressClaims, CLAIMS_CHANNEL } from "#docker/addresses/address-claims.js";
import { RequestedAddresses } from "#docker/addresses/requested-addresses.js";
import { Attacher } from "#docker/containers/attacher.js";
import { ContainerSubnets } from "#docker/containers/container-subnets.js";
import { ContainerTracker } from "#docker/containers/container-tracker.js";
import { FailedContainers } from "#docker/containers/failed-containers.js";
import { containerObservers } from "#docker/containers/observers.js";
import type { DockerDeps } from "#docker/deps.js";
import type { Engine } from "#docker/engine/engine.js";
import { followEngine } from "#docker/engine/events.js";
import { FirstContact } from "#docker/engine/first-contact.js";
import { isContainerId, shortId } from "#docker/engine/shapes.js";
import type { DockerOptions } from "#docker/flags.js";
import { type Plugin, startPlugin } from "#docker/plugin/plugin.js";
import { PluginStore } from "#docker/plugin/plugin-store.js";
import type { Join } from "#docker/plugin/protocol.js";
import { SwarmWatch } from "#docker/plugin/swarm-watch.js";
import { createSettings } from "#docker/proxy/create-settings.js";
import { ProxyCalls } from "#docker/proxy/proxy-calls.js";
import { ServiceAddresses } from "#docker/services/service-addresses.js";
import { TASKS_CHANNEL } from "#docker/services/task-records.js";
import type { DockerSockets } from "#docker/sockets.js";
import type { DockerStatus } from "#docker/status.js";
import { EVERYTHING, leaseText } from "#ipam/ring/subnet.js";
import { systemClock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { settledWithin } from "#src/time-limit.js";

interface Components {
  readonly sockets: DockerSockets;
  readonly containers: ContainerTracker;
  readonly claims: AddressClaims;
  readonly swarm: SwarmWatch;
  readonly plugin: Plugin | undefined;
  readonly services: ServiceAddresses | undefined;
  readonly contact: FirstContact;
}

/** Docker integration of a started router: proxy, plugin, and the tracking of containers. */
export class DockerIntegration {
  readonly options: DockerOptions;
  readonly #components: Components;

  private constructor(components: Components) {
    this.options = components.sockets.options;
    this.#components = components;
  }

  /** Starts to serve the sockets and to follow the engine, which may answer later. The caller closes the sockets. */
  static start(sockets: DockerSockets, deps: DockerDeps): DockerIntegration {
    const { engine, options, log } = sockets;
    const { resources } = deps;
    const store = new PluginStore(deps.store);
    const isOurNetwork = (network: string) => store.networks.has(network);
    const claims = openClaims(deps, log);
    resources.add("address claims", () => claims.stop());
    const attacher = new Attacher({ ...deps, log }, options);
    const services = sockets.plugin && options.pluginV2 ? openServices(engine, deps, isOurNetwork, log) : undefined;
    const observers = containerObservers({ ...deps, attacher, isOurNetwork, services: services?.local, log });
    const containers = new ContainerTracker({ engine, lifecycles: deps.holders, observers, log });
    resources.add("containers", () => containers.stop());
    const subnets = new ContainerSubnets({
      engine,
      isOurNetwork,
      leases: (id) => deps.ipam?.requests.lookup(id, EVERYTHING).map(leaseText) ?? [],
      clock: systemClock,
      log,
    });
    deps.dns?.useSubnets(subnets);
    const requested =
      deps.ipam && new RequestedAddresses({ engine, requests: deps.ipam.requests, clock: systemClock, log });
    resources.add("requested addresses", () => requested?.stop());
    const onManagers = options.pluginV2 ? deps.connectManagers : undefined;
    const swarm = new SwarmWatch({ engine, onManagers, log }, options);
    const onNodes = () => void swarm.check();
    const onJoin = (call: Join) => services?.joining(call);
    const common = { ...deps, engine, store, claims, requested, onNodes, onJoin, containers, log };
    const plugin = sockets.plugin && startPlugin(sockets.plugin, options, common);
    resources.add("networks", () => plugin?.networks.stop());
    if (plugin !== undefined) resources.add("swarm", swarm.watch());
    if (sockets.proxy !== undefined && sockets.helper !== undefined) {
      const settings = createSettings(sockets.helper, options, deps);
      sockets.proxy.serve(new ProxyCalls({ engine, containers, attacher, isOurNetwork, settings, log }, options));
    }
    // An engine starts its managed plugins before its containers.
    const failed = plugin && !options.pluginV2 ? new FailedContainers(engine, log) : undefined;
    const contact = new FirstContact();
    const listeners = [
      containers,
      subnets,
      sockets.proxy,
      requested,
      swarm,
      plugin?.networks,
      services,
      failed,
      contact,
    ];
    const following = new AbortController();
    resources.add("events of the engine", () => following.abort());
    void followEngine(
      engine,
      listeners.filter((each) => each !== undefined),
      log,
      following.signal,
    );
    return new DockerIntegration({ sockets, containers, claims, swarm, plugin, services, contact });
  }

  get status(): DockerStatus {
    const { sockets, containers, claims, swarm, services } = this.#components;
    return {
      engine: {
        api: sockets.engine.version,
        product: sockets.engine.product,
        containers: containers.count,
        problem: containers.problem ?? "",
      },
      proxy: sockets.proxy?.addresses,
      open: sockets.proxy?.open ?? [],
      plugin: sockets.plugin !== undefined,
      swarm: swarm.role,
      services: services?.status,
      contested: claims.contested,
    };
  }

  /** Rejects a request for a container that has ended. If the engine does not answer, the request is accepted. @throws WEAVE_DOCKER */
  async requireRunning(ident: string): Promise<void> {
    if (!isContainerId(ident) || (await this.#components.containers.isRunning(ident))) return;
    throw new WeaveError("WEAVE_DOCKER", `Container ${shortId(ident)} died`);
  }

  /**
   * Resolves when Docker's network `weave` exists and the running containers are known, or when the engine did not answer, or after
   * `limitMs`: an engine that is starting may wait for this plugin.
   */
  async settled(limitMs: number): Promise<void> {
    await settledWithin(this.#components.contact.made, limitMs);
  }

  /** Removes Docker's network `weave`: see {@link DefaultNetwork.remove}. @returns names of the containers that prevent it */
  async removeNetwork(): Promise<readonly string[]> {
    return (await this.#components.plugin?.defaultNetwork?.remove()) ?? [];
  }
}

/** Creates the address claims, and opens their gossip channel. */
function openClaims({ self, incarnation, mesh, directory, store }: DockerDeps, log: Log): AddressClaims {
  const peers = directory;
  const claims = new AddressClaims({
    self,
    incarnation,
    clock: systemClock,
    log,
    store,
    peers,
    replicas: mesh.replicas,
    time: () => mesh.time(),
  });
  claims.open(mesh.channel(CLAIMS_CHANNEL, claims.gossiper));
  return claims;
}

/** Creates the service addresses of a managed plugin, and opens their gossip channel: only such a plugin has networks of a swarm. */
function openServices(
  engine: Engine,
  { self, incarnation, mesh, directory, problems, resources, onRoutes }: DockerDeps,
  isOurNetwork: (network: string) => boolean,
  log: Log,
): ServiceAddresses {
  const time = () => mesh.time();
  const services = new ServiceAddresses({
    engine,
    self,
    incarnation,
    peers: directory,
    replicas: mesh.replicas,
    isOurNetwork,
    time,
    problems,
    log,
  });
  services.open(mesh.channel(TASKS_CHANNEL, services.gossiper));
  onRoutes(() => services.routesChanged());
  resources.add("service addresses", () => services.stop());
  return services;
}
