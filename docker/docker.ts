import type { Nameserver } from "#dns/nameserver.js";
import { AddressClaims, CLAIMS_CHANNEL } from "#docker/addresses/address-claims.js";
import { RequestedAddresses } from "#docker/addresses/requested-addresses.js";
import { ArpSettings } from "#docker/containers/arp-settings.js";
import { Attacher } from "#docker/containers/attacher.js";
import { ContainerNames } from "#docker/containers/container-names.js";
import { ContainerTracker } from "#docker/containers/container-tracker.js";
import { restartFailedContainers } from "#docker/containers/restart-failed.js";
import { StaleNamespaces } from "#docker/containers/stale-namespaces.js";
import { Engine } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { isContainerId } from "#docker/engine/shapes.js";
import type { DockerOptions } from "#docker/flags.js";
import { IpamDriver } from "#docker/plugin/ipam-driver.js";
import { NetworkDriver } from "#docker/plugin/network-driver.js";
import { NetworkSync } from "#docker/plugin/network-sync.js";
import { driverNames, Plugin } from "#docker/plugin/plugin.js";
import { PluginStore } from "#docker/plugin/plugin-store.js";
import { SwarmWatch } from "#docker/plugin/swarm-watch.js";
import { openListeners } from "#docker/proxy/exposure.js";
import { ApiProxy } from "#docker/proxy/proxy.js";
import { listenText, parseHostname, parseListen } from "#docker/proxy/proxy-options.js";
import { Rewriter } from "#docker/proxy/rewriter.js";
import { installHelper } from "#docker/wait/helper.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { addressText, EVERYTHING, type Subnet } from "#ipam/ring/subnet.js";
import type { Mesh } from "#mesh/mesh.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { systemClock } from "#src/clock.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Netns } from "#src/linux/netns/netns.js";
import { overlappingRoute } from "#src/linux/routes/routes.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";
import type { Store } from "#src/store.js";

/** What Docker's part needs of a router that has started. */
export interface Surroundings {
  readonly self: PeerName;
  readonly incarnation: number;
  readonly mesh: Mesh;
  readonly directory: KnownPeers;
  readonly store: Store;
  readonly bridge: string;
  /** Of the bridge, in bytes. */
  readonly mtu: number;
  /** Undefined when it is off; so is the next. */
  readonly ipam:
    | {
        readonly requests: Requests;
        readonly range: Subnet;
        readonly defaultSubnet: Subnet;
        /** The namespace that had a container's addresses when it started, once; it may be its own. */
        takeLeft(ident: string): Netns | undefined;
      }
    | undefined;
  readonly dns: { readonly names: Nameserver; address(): Promise<string> } | undefined;
  readonly holders: readonly ContainerLifecycle[];
  readonly problems: Problems;
}

/** What status says of Docker's part. */
export interface DockerStatus {
  readonly engine: {
    readonly api: string | undefined;
    readonly containers: number | undefined;
    readonly problem: string;
  };
  /** Where the proxy listens; undefined when it is off. */
  readonly proxy: readonly string[] | undefined;
  /** Those of them that serve everyone who reaches them. */
  readonly open: readonly string[];
  readonly plugin: boolean;
  /** What the engine is in a swarm; undefined where it is in none. */
  readonly swarm: "manager" | "worker" | undefined;
  readonly contested: readonly { readonly address: string; readonly peers: readonly PeerName[] }[];
}

/** Everything of a router that faces Docker. */
export class Docker {
  readonly options: DockerOptions;
  readonly engine: Engine;
  readonly #log: Log;
  readonly #helper: string | undefined;
  readonly #stop = new AbortController();
  #plugin: Plugin | undefined;
  #proxy: ApiProxy | undefined;
  #containers: ContainerTracker | undefined;
  #claims: AddressClaims | undefined;
  #swarm: SwarmWatch | undefined;
  #rewriter: Rewriter | undefined;
  #networks: NetworkSync | undefined;

  private constructor(options: DockerOptions, helper: string | undefined, log: Log) {
    this.options = options;
    this.engine = new Engine(parseEngineAddress(options.api, process.env));
    this.#helper = helper;
    this.#log = log;
  }

  /**
   * Listens for Docker and for its clients, before anything else of the router is there.
   *
   * @param helperFolder where the waiting helper is to lie
   * @throws WEAVE_PLUGIN, WEAVE_PORT_IN_USE, WEAVE_API; then nothing listens
   */
  static async open(options: DockerOptions, helperFolder: string, log: Log): Promise<Docker> {
    const docker = new Docker(options, options.proxy ? installHelper(helperFolder) : undefined, log);
    try {
      if (options.plugin) docker.#plugin = await Plugin.open(options, log);
      if (options.proxy) {
        if (docker.#helper === undefined)
          log.warn("no waiting helper for this architecture: the proxy puts no containers on the network", {
            architecture: process.arch,
          });
        docker.#proxy = await ApiProxy.open({
          engine: docker.engine.endpoint,
          options,
          rewriter: () => docker.#rewriter,
          log,
        });
      }
      return docker;
    } catch (error) {
      await docker.stop();
      throw error;
    }
  }

  /** The router is there. Whether an engine answers now or later makes no difference. */
  start(around: Surroundings): void {
    const { self, incarnation, mesh, directory, store, bridge, mtu, ipam, dns } = around;
    const claims = new AddressClaims({
      self,
      incarnation,
      clock: systemClock,
      log: this.#log,
      store,
      peers: directory,
      time: () => mesh.time(),
    });
    claims.open(mesh.channel(CLAIMS_CHANNEL, claims.gossiper));
    this.#claims = claims;
    const book = new PluginStore(store);
    const engineApi = () => this.engine.offered;
    const network = new NetworkDriver({ bridge, mtu, book, ipam, claims, engineApi, log: this.#log });
    const wished = ipam && new RequestedAddresses(this.engine, ipam.requests, this.#log);
    this.#stop.signal.addEventListener("abort", () => wished?.stop(), { once: true });
    const driver = new IpamDriver({
      ipam,
      book,
      onAsked: (address) => wished?.asked(address),
      overlappingRoute: (cidr) => overlappingRoute(cidr, ""),
      describe: (ident) => this.#containers?.describe(ident) ?? ident,
      log: this.#log,
    });
    this.#plugin?.serve({ network, ipam: driver });

    const { multicastRoute, rewriteHosts } = this.options;
    const attacher = new Attacher({ bridge, mtu, ipam, rewriteHosts, multicastRoute, log: this.#log });
    const attachedAt = (id: string) =>
      ipam === undefined
        ? attacher.addressesOf(id)
        : ipam.requests.lookup(id, EVERYTHING).map(({ address }) => addressText(address));
    const isOurs = (id: string) => book.networks.has(id);
    const containerNames =
      dns && new ContainerNames({ names: dns.names, isOurs, attachedAt, clock: systemClock, log: this.#log });
    const names = driverNames(this.options);
    const networks = new NetworkSync({
      engine: this.engine,
      book,
      network,
      names,
      ipam,
      driver,
      log: this.#log,
      problems: around.problems,
    });
    this.#networks = networks;
    const swarm = new SwarmWatch(this.engine, this.#log);
    this.#swarm = swarm;
    const containers = new ContainerTracker({
      engine: this.engine,
      holders: around.holders,
      observers: [
        ...(ipam === undefined ? [] : [new StaleNamespaces(ipam, this.#log)]),
        attacher,
        ...(containerNames === undefined ? [] : [containerNames]),
        new ArpSettings(isOurs),
      ],
      onConnected: async () => {
        try {
          this.#proxy?.takeRights();
        } catch (error) {
          this.#log.warn("the proxy's socket is not as it was", { why: errorText(error) });
        }
        wished?.changed();
        void swarm.look();
        if (this.#plugin !== undefined) await networks.settle();
      },
      onNetworkGone: () => {
        if (this.#plugin !== undefined) networks.lookSoon();
      },
      onChanged: () => wished?.changed(),
      onNetworkMade: (name, driver) => {
        if ([names.network, names.mesh].includes(driver)) void swarm.networkMade(name);
      },
      onReady: () => {
        if (this.#plugin !== undefined) void restartFailedContainers(this.engine, this.#log);
      },
      log: this.#log,
    });
    this.#containers = containers;
    const { defaultIpalloc, hostnameFromLabel, rewriteInspect } = this.options;
    const toHostname = parseHostname(this.options);
    if (this.#helper !== undefined) {
      const helper = this.#helper;
      this.#rewriter = new Rewriter({
        engine: this.engine,
        containers,
        attacher,
        rewriteInspect,
        create: async () => ({
          helper,
          defaultIpalloc: defaultIpalloc && ipam !== undefined,
          dns: dns && this.options.dns ? { address: await dns.address(), domain: dns.names.domain } : undefined,
          hostnameFromLabel,
          toHostname,
          image: (name) => this.engine.image(name),
          ourNetwork: async (name) => {
            const { Id, Internal } = await this.engine.network(name);
            return book.networks.has(Id) ? { internal: Internal } : undefined;
          },
          userNamespaces: () => this.engine.userNamespaces(),
        }),
        log: this.#log,
      });
    }
    if (this.#plugin !== undefined) {
      networks.watch(this.#stop.signal);
      swarm.watch(this.#stop.signal);
    }
    containers.follow();
  }

  /** Refuses what is for a container that has ended. Where the engine cannot say, it may go on. @throws WEAVE_DOCKER */
  async checkAlive(ident: string): Promise<void> {
    if (!isContainerId(ident) || this.#containers === undefined || (await this.#containers.isRunning(ident))) return;
    throw new WeaveError("WEAVE_DOCKER", `Container ${ident.slice(0, 12)} died`);
  }

  /** The router is about to stop for good: Docker's network is the caller's to remove now. */
  leave(): void {
    this.#networks?.leave();
  }

  get status(): DockerStatus {
    return {
      engine: {
        api: this.engine.version,
        containers: this.#containers?.count,
        problem: this.#containers?.problem ?? "",
      },
      proxy: this.#proxy?.addresses,
      open:
        this.#proxy === undefined
          ? []
          : openListeners(this.options, this.engine.endpoint).map((text) => listenText(parseListen(text))),
      plugin: this.#plugin !== undefined,
      swarm: this.#swarm?.role,
      contested: this.#claims?.contested ?? [],
    };
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#containers?.stop();
    this.#claims?.stop();
    this.#plugin?.close();
    await this.#proxy?.close().catch((error) => this.#log.warn("the proxy did not close", { why: errorText(error) }));
  }
}
