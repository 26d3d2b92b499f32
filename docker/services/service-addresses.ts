import { type Engine, EngineError } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent } from "#docker/engine/shapes.js";
import { isSwarmNetwork } from "#docker/plugin/network-driver.js";
import type { Join } from "#docker/plugin/protocol.js";
import { balance } from "#docker/services/balance.js";
import { JoinedSandboxes } from "#docker/services/joined-sandboxes.js";
import { type ListedService, listedServices } from "#docker/services/listed-service.js";
import { LocalTasks } from "#docker/services/local-tasks.js";
import { RefusedAddresses } from "#docker/services/refused-addresses.js";
import { type NamespacesStatus, ServiceNamespaces } from "#docker/services/service-namespaces.js";
import { StoppingTasks } from "#docker/services/stopping-tasks.js";
import type { TaskFields } from "#docker/services/task-record.js";
import { TaskRecords } from "#docker/services/task-records.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import { systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";
import type { Netns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** Delays after a change at which the engine's list is read: a task is listed a while after its container has started. */
const READ_MS = [0, 100, 300, 1_000, 3_000];
/** Interval of further reads: tasks on hosts whose router does not publish them are known to the engine alone. */
const POLL_MS = 10_000;
/** Shortest interval between changes of the rules: tasks of a service often change together. */
const UPDATE_MS = 20;

export interface ServiceAddressesDeps {
  readonly engine: Engine;
  readonly self: PeerName;
  /** Counter that grows with each start of this peer. */
  readonly incarnation: number;
  readonly peers: KnownPeers;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** Returns the network's time, in milliseconds since the Unix epoch. */
  readonly time: () => number;
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
  /** The engine's last list of each network in use. */
  readonly #lists = new Map<string, readonly ListedService[]>();
  readonly #refused = new RefusedAddresses(systemClock);
  readonly #reads = new Map<string, { timers: NodeJS.Timeout[]; reading: boolean; again: boolean }>();
  readonly #update: ThrottledTask;
  readonly #poll: NodeJS.Timeout;
  /** Whether all running containers are known. */
  #isComplete = false;
  #counts = { addresses: 0, tasks: 0 };

  constructor(deps: ServiceAddressesDeps) {
    const { log } = deps;
    this.#deps = deps;
    this.#update = new ThrottledTask(systemClock, UPDATE_MS, () => this.#apply());
    const onChange = () => this.#update.request();
    this.#records = new TaskRecords({ ...deps, clock: systemClock, onChange });
    this.#namespaces = new ServiceNamespaces(log);
    this.#joined = new JoinedSandboxes(onChange);
    this.#stopping = new StoppingTasks({ ...deps, onChange: () => this.#publish() });
    this.local = new LocalTasks({ isOurNetwork: deps.isOurNetwork, onChange: (networks) => this.#changed(networks) });
    this.#poll = setInterval(() => this.#readAll(), POLL_MS).unref();
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
    if (!this.#lists.has(NetworkID)) this.#readSoon(NetworkID);
  }

  event(event: EngineEvent): void {
    this.local.event(event);
    this.#stopping.event(event);
  }

  /** All running containers are known now. */
  catchUp(): void {
    this.#isComplete = true;
    this.#readAll();
  }

  /** The routes to other hosts have changed. */
  routesChanged(): void {
    this.#update.request();
  }

  /** Rules in namespaces stay: they work without a router. */
  stop(): void {
    clearInterval(this.#poll);
    for (const { timers } of this.#reads.values()) for (const timer of timers) clearTimeout(timer);
    this.#update.cancel();
    this.#joined.stop();
    this.#stopping.stop();
    this.#namespaces.stop();
    this.#records.stop();
  }

  #changed(networks: readonly string[]): void {
    // At once: other hosts must not begin connections to a task that is being stopped.
    this.#publish();
    this.#update.request();
    for (const network of new Set(networks)) this.#readSoon(network);
  }

  get #networks(): Set<string> {
    const ofContainers = this.local.containers.flatMap(({ endpoints }) => endpoints.map(({ network }) => network));
    return new Set([...ofContainers, ...this.#joined.networks]);
  }

  #readAll(): void {
    const networks = this.#networks;
    for (const network of this.#lists.keys()) if (!networks.has(network)) this.#lists.delete(network);
    for (const network of networks) void this.#read(network);
  }

  /** Reads the list of a network now and some times more. */
  #readSoon(network: string): void {
    const reads = this.#reads.get(network) ?? { timers: [], reading: false, again: false };
    this.#reads.set(network, reads);
    for (const timer of reads.timers) clearTimeout(timer);
    reads.timers = READ_MS.map((ms) => setTimeout(() => void this.#read(network), ms).unref());
  }

  /** Reads the list of a network, and once more if that is requested meanwhile. Never rejects. */
  async #read(network: string): Promise<void> {
    const reads = this.#reads.get(network) ?? { timers: [], reading: false, again: false };
    this.#reads.set(network, reads);
    reads.again = true;
    if (reads.reading) return;
    reads.reading = true;
    while (reads.again) {
      reads.again = false;
      try {
        const list = listedServices(await this.#deps.engine.networkServices(network));
        if (this.#networks.has(network)) this.#lists.set(network, list);
        else this.#lists.delete(network);
      } catch (error) {
        if (error instanceof EngineError && error.status === 404) this.#lists.delete(network);
        this.#deps.log.debug("the services of a network could not be read", { network, why: errorText(error) });
      }
    }
    reads.reading = false;
    this.#publish();
    this.#update.request();
  }

  /** Publishes the tasks of this host, which the engine lists and whose containers run, and of all hosts those that the swarm stops. */
  #publish(): void {
    if (!this.#isComplete) return;
    const states = new Map(
      this.local.containers.flatMap(({ endpoints, draining }) =>
        endpoints.map(({ endpoint }) => [endpoint, draining.size > 0 ? "draining" : "serving"] as const),
      ),
    );
    const tasks = [...this.#lists].flatMap(([network, services]) =>
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
    const services = balance({
      listed,
      records,
      isReachable: (origin) => origin === self || reachable.has(origin),
    });
    return this.#refused.add(network, services, listed);
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
