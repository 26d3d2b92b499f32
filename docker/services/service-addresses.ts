import type { Engine } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent } from "#docker/engine/shapes.js";
import { isSwarmNetwork } from "#docker/plugin/network-driver.js";
import type { Join } from "#docker/plugin/protocol.js";
import { CLASHES, describeClashes, hostAddresses } from "#docker/services/address-clashes.js";
import { balance } from "#docker/services/balance.js";
import { JoinedSandboxes } from "#docker/services/joined-sandboxes.js";
import { LocalTasks } from "#docker/services/local-tasks.js";
import { AFTER_OTHERS_MS, AFTER_OWN_MS, NetworkLists } from "#docker/services/network-lists.js";
import { RefusedAddresses } from "#docker/services/refused-addresses.js";
import { type NamespacesStatus, ServiceNamespaces } from "#docker/services/service-namespaces.js";
import { StoppingTasks } from "#docker/services/stopping-tasks.js";
import type { TaskFields } from "#docker/services/task-record.js";
import { TaskRecords } from "#docker/services/task-records.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import type { Replicas } from "#mesh/replica/replicas.js";
import { inSubnets } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";
import type { Netns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** Shortest interval between changes of the rules: tasks of a service often change together. */
const UPDATE_MS = 20;

export interface ServiceAddressesDeps {
  readonly engine: Engine;
  readonly self: PeerName;
  /** Counter that grows with each start of this peer. */
  readonly incarnation: number;
  readonly peers: KnownPeers;
  readonly replicas: Replicas;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** Returns the network's time, in milliseconds since the Unix epoch. */
  readonly time: () => number;
  readonly problems: Problems;
  readonly log: Log;
}

/** State for reports. */
export interface ServiceAddressesStatus extends NamespacesStatus {
  /** Service addresses that containers of this host can reach, and the tasks that they lead to. */
  readonly addresses: number;
  readonly tasks: number;
}

/**
 * Makes the addresses of a swarm's services work. Docker allocates an address for each service on each network, and answers with it
 * in DNS, but makes the load balancer behind it for its own driver alone (moby, daemon/network.go). So each container on our networks
 * gets rules that translate these addresses to those of tasks, in its own network namespace.
 */
export class ServiceAddresses implements EngineListener {
  /** The observer of containers. */
  readonly local: LocalTasks;
  readonly #deps: ServiceAddressesDeps;
  readonly #records: TaskRecords;
  readonly #namespaces: ServiceNamespaces;
  readonly #joined: JoinedSandboxes;
  readonly #stopping: StoppingTasks;
  readonly #lists: NetworkLists;
  readonly #refused = new RefusedAddresses(systemClock);
  readonly #update: ThrottledTask;
  /** Whether a change of the rules has been requested. */
  #isChanged = false;
  /** Whether all running containers are known. */
  #isComplete = false;
  #clashes: string | undefined;
  #counts = { addresses: 0, tasks: 0 };

  constructor(deps: ServiceAddressesDeps) {
    const { log } = deps;
    this.#deps = deps;
    this.#update = new ThrottledTask(systemClock, UPDATE_MS, () => this.#apply());
    const onChange = () => this.#update.request();
    this.#records = new TaskRecords({
      ...deps,
      clock: systemClock,
      onChange: (record) => this.#recordChanged(record),
    });
    this.#namespaces = new ServiceNamespaces(log);
    this.#joined = new JoinedSandboxes(onChange);
    this.#stopping = new StoppingTasks({ ...deps, onChange: () => this.#publish() });
    this.local = new LocalTasks({
      clock: systemClock,
      isOurNetwork: deps.isOurNetwork,
      onChange: (networks) => this.#changed(networks),
    });
    this.#lists = new NetworkLists({
      ...deps,
      networks: () => this.#networks,
      onRead: () => {
        this.#publish();
        this.#update.request();
      },
    });
  }

  /** The receiving end of the channel `tasks`. */
  get gossiper(): Gossiper {
    return this.#records.gossiper;
  }

  /** Sets the sending end of the channel. */
  open(channel: GossipChannel): void {
    this.#records.open(channel);
  }

  get status(): ServiceAddressesStatus {
    return { ...this.#namespaces.status, ...this.#counts };
  }

  /** A container is being connected to a network. Its program starts soon: the rules must be there before. */
  joining({ NetworkID, EndpointID, SandboxKey }: Join): void {
    if (!isSwarmNetwork(NetworkID)) return;
    this.#joined.add(NetworkID, EndpointID, SandboxKey);
    if (!this.#lists.get(NetworkID)) this.#lists.readAfter(NetworkID, AFTER_OWN_MS);
  }

  event(event: EngineEvent): void {
    this.local.event(event);
    this.#stopping.event(event);
  }

  /** All running containers are known now. */
  catchUp(): void {
    this.#isComplete = true;
    this.#lists.readAll();
  }

  /** The routes to other hosts have changed. */
  routesChanged(): void {
    this.#update.request();
  }

  /** Rules in namespaces stay: they work without a router. */
  stop(): void {
    this.#lists.stop();
    this.#update.cancel();
    this.#joined.stop();
    this.local.stop();
    this.#stopping.stop();
    this.#namespaces.stop();
    this.#records.stop();
  }

  #changed(networks: readonly string[]): void {
    // At once: other hosts must not begin connections to a task that is being stopped.
    this.#publish();
    this.#update.request();
    for (const network of new Set(networks)) this.#lists.readAfter(network, AFTER_OWN_MS);
  }

  get #networks(): Set<string> {
    const ofContainers = this.local.containers.flatMap(({ endpoints }) => endpoints.map(({ network }) => network));
    return new Set([...ofContainers, ...this.#joined.networks]);
  }

  /** A record of a task has changed. The others of the same message come first, lest a task that changes its state seem to be over. */
  #recordChanged({ network, origin }: Versioned<TaskFields>): void {
    if (origin !== this.#deps.self && this.#lists.get(network)) this.#lists.readAfter(network, AFTER_OTHERS_MS);
    if (this.#isChanged) return;
    this.#isChanged = true;
    setImmediate(() => {
      this.#isChanged = false;
      this.#update.request();
    });
  }

  /** Publishes the tasks of this host, which the engine lists and whose containers run, and of all hosts those that the swarm stops. */
  #publish(): void {
    if (!this.#isComplete) return;
    const states = new Map(
      this.local.containers.flatMap(({ endpoints, draining }) =>
        endpoints.map(({ endpoint }) => [endpoint, draining.size > 0 ? "draining" : "serving"] as const),
      ),
    );
    const tasks = [...this.#lists.all].flatMap(([network, { services }]) =>
      services.flatMap(({ address: service, tasks: listed }) =>
        service === ""
          ? []
          : listed.flatMap(({ endpoint, address }): TaskFields[] => {
              const state = states.get(endpoint);
              return state === undefined ? [] : [{ network, endpoint, service, address, state }];
            }),
      ),
    );
    if (!this.#records.publish([...tasks, ...this.#stopping.tasks]))
      this.#deps.log.warn("other hosts do not learn of all tasks of this host: there are too many");
  }

  /** Computes the rules of all namespaces. */
  #apply(): void {
    for (const { endpoints } of this.local.containers)
      for (const { endpoint } of endpoints) this.#joined.remove(endpoint);
    const networks = this.#networks;
    const records = new Map([...networks].map((network) => [network, [] as Versioned<TaskFields>[]]));
    for (const record of this.#records.all()) records.get(record.network)?.push(record);
    const byNetwork = new Map([...records].map(([network, known]) => [network, this.#servicesOf(network, known)]));
    this.#refused.keep(networks);
    const all = [...byNetwork.values()].flatMap((services) => services ?? []);
    this.#reportClashes(all);
    this.#counts = { addresses: all.length, tasks: all.reduce((sum, { targets }) => sum + targets.length, 0) };
    const lists = new Map<string, readonly ServiceAddress[] | undefined>();
    this.#namespaces.set(
      this.#places().map(({ netns, networks: of }) => {
        const names = [...of].sort();
        const key = names.join(" ");
        if (!lists.has(key)) lists.set(key, merged(names.map((network) => byNetwork.get(network))));
        return { netns, services: lists.get(key) };
      }),
    );
  }

  /** Reports addresses that something else has, too, in status. */
  #reportClashes(services: readonly ServiceAddress[]): void {
    const { problems, log } = this.#deps;
    const listed = [...this.#lists.all].flatMap(([, list]) => list.services);
    const clashes = services.length === 0 ? undefined : describeClashes(services, listed, hostAddresses());
    if (clashes === this.#clashes) return;
    this.#clashes = clashes;
    if (clashes === undefined) problems.clear(CLASHES);
    else {
      problems.set(CLASHES, clashes);
      log.warn("addresses of services clash", { what: clashes });
    }
  }

  /** The namespaces of containers on networks of the swarm. */
  #places(): { netns: Netns; networks: Set<string> }[] {
    const places = new Map<number, { netns: Netns; networks: Set<string> }>();
    for (const { netns, endpoints } of [...this.#joined.sandboxes, ...this.local.containers]) {
      const place = places.get(netns.inode) ?? { netns, networks: new Set() };
      // Of two paths of a namespace, that of the process, which comes last.
      place.netns = netns;
      for (const { network } of endpoints) place.networks.add(network);
      places.set(netns.inode, place);
    }
    return [...places.values()];
  }

  /** @returns undefined before the engine's list was read */
  #servicesOf(network: string, records: readonly Versioned<TaskFields>[]): readonly ServiceAddress[] | undefined {
    const listed = this.#lists.get(network);
    if (listed === undefined) return undefined;
    const { self, peers } = this.#deps;
    const reachable = peers.reachable();
    const { subnets } = listed;
    const services = balance({
      listed: listed.services,
      // A peer has no say in where other addresses lead.
      records: records.filter(({ service, address }) => [service, address].every((each) => inSubnets(each, subnets))),
      isReachable: (origin) => origin === self || reachable.has(origin),
    });
    return this.#refused.add(network, services, listed.services);
  }
}

/** The services of several networks, in a namespace that is on all of them; undefined if one is not known yet. Of two with one address the first counts. */
function merged(networks: readonly (readonly ServiceAddress[] | undefined)[]): readonly ServiceAddress[] | undefined {
  if (networks.includes(undefined)) return undefined;
  const services = new Map<string, ServiceAddress>();
  for (const service of networks.flatMap((each) => each ?? []))
    if (!services.has(service.address)) services.set(service.address, service);
  return [...services.values()];
}
