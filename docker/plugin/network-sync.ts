import { UNCONFIRMED_MS } from "#docker/addresses/requested-addresses.js";
import type { Engine } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent, Network } from "#docker/engine/shapes.js";
import type { DefaultNetwork } from "#docker/plugin/default-network.js";
import type { DriverNames } from "#docker/plugin/driver-names.js";
import type { IpamDriver } from "#docker/plugin/ipam-driver.js";
import type { NetworkDriver } from "#docker/plugin/network-driver.js";
import type { AddressUse, PluginStore } from "#docker/plugin/plugin-store.js";
import { parseLease } from "#ipam/ring/subnet.js";
import { addressOfCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import { endpointsInContainers } from "#src/linux/links/docker-endpoint.js";
import type { Log } from "#src/log.js";

/** Interval between checks for entries that Docker does not show: it may have stopped before it received our answer. */
const CHECK_MS = 15_000;
/** Delay between the removal of a network and the comparison, so that one comparison follows a `docker network prune` of several networks. */
const REMOVAL_DELAY_MS = 500;
/** Interval between attempts to claim the networks' fixed addresses that other hosts hold: they may have released them. */
const FIXED_MS = 60_000;

export interface NetworkSyncDeps {
  readonly engine: Engine;
  readonly store: PluginStore;
  readonly network: NetworkDriver;
  readonly driver: IpamDriver;
  readonly defaultNetwork: DefaultNetwork | undefined;
  readonly names: DriverNames;
  readonly log: Log;
}

/** Those of Docker's networks that use one of our drivers. */
interface OurNetworks {
  /** Networks of our network driver. */
  readonly driven: readonly Network[];
  /** Networks of our IPAM driver; their network driver may be another. */
  readonly addressed: readonly Network[];
}

/** Keeps the stored networks, endpoints and addresses equal to Docker's. Compares both after each connect, after a network's removal, and when a check finds an entry that Docker may not have. */
export class NetworkSync implements EngineListener {
  readonly #deps: NetworkSyncDeps;
  readonly #stop = new AbortController();
  /** Endpoints that Docker showed at the last comparison. */
  #shown: ReadonlySet<string> = new Set();
  /** Endpoints that Docker does not show, but whose interfaces are in containers. */
  #hidden: ReadonlySet<string> = new Set();
  /** The last comparison, or the one in progress. */
  #comparison: Promise<void> = Promise.resolve();
  /** Timer of the comparison after a network's removal. */
  #afterRemoval: NodeJS.Timeout | undefined;

  constructor(deps: NetworkSyncDeps) {
    this.#deps = deps;
  }

  /** Starts the regular checks. */
  watch(): void {
    const timers = [
      setInterval(() => {
        if (this.#isComparisonNeeded()) void this.compare();
      }, CHECK_MS),
      setInterval(() => this.#deps.driver.holdFixed(), FIXED_MS),
    ];
    for (const timer of timers) timer.unref();
    this.#stop.signal.addEventListener("abort", () => {
      for (const timer of timers) clearInterval(timer);
    });
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#afterRemoval);
  }

  connected(): Promise<void> {
    return this.compare();
  }

  /** Compares after the removal of a network: it may be the default network, which is then created again. Reports created networks of other drivers. */
  event({ Type, Action, Actor }: EngineEvent): void {
    if (Type !== "network") return;
    const { store, driver } = this.#deps;
    // Docker calls the network driver for our networks only.
    if (Action === "create" && !store.networks.has(Actor.ID)) driver.networkCreated(undefined);
    if (Action !== "destroy") return;
    this.#afterRemoval ??= setTimeout(() => {
      this.#afterRemoval = undefined;
      void this.compare();
    }, REMOVAL_DELAY_MS).unref();
  }

  /** Compares, after a comparison in progress. Never rejects: a failure is logged, and the next connect compares again. */
  compare(): Promise<void> {
    this.#comparison = this.#comparison.then(() => this.#compareAll());
    return this.#comparison;
  }

  /** Whether a comparison is needed: the default network is missing, an address has no endpoint, or Docker did not show an endpoint. */
  #isComparisonNeeded(): boolean {
    const { store, defaultNetwork } = this.#deps;
    const { addresses, endpoints, usedAddresses: used } = store;
    const before = systemClock.wall() - UNCONFIRMED_MS;
    return (
      defaultNetwork?.missing ||
      addresses.all.some(([text, { asked, use }]) => use === "container" && asked <= before && !used.has(text)) ||
      endpoints.all.some(([id, { made }]) => made <= before && !this.#shown.has(id))
    );
  }

  async #compareAll(): Promise<void> {
    const { engine, network, defaultNetwork, log } = this.#deps;
    try {
      const all = await engine.networks();
      const ours = this.#select(all);
      for (const each of ours.driven) network.learnNetwork(each.Id, ours.addressed.includes(each), each.Options);
      await this.#compare(all, ours);
      await defaultNetwork?.ensure(all);
    } catch (error) {
      log.warn("Docker's networks could not be compared with ours", { why: errorText(error) });
    }
  }

  /**
   * Selects our networks. Docker names a driver by its socket, or by the name with which it was installed. A network that Docker
   * created by a call of our driver is ours under any driver name, and so are the other networks under that name.
   */
  #select(all: readonly Network[]): OurNetworks {
    const { names, store } = this.#deps;
    const made = all.filter(({ Id }) => store.networks.has(Id));
    const drivers = new Set([names.network, names.mesh, ...made.map(({ Driver }) => Driver)]);
    // A managed plugin's.
    drivers.delete("");
    const addressing = new Set<string | undefined>([
      names.mesh,
      ...made.filter(({ Id }) => store.networks.get(Id)?.ours).map(({ IPAM }) => IPAM?.Driver),
    ]);
    addressing.delete("");
    return {
      driven: all.filter(({ Driver }) => drivers.has(Driver)),
      addressed: all.filter(({ IPAM }) => IPAM != null && addressing.has(IPAM.Driver)),
    };
  }

  /** Stores entries that only Docker has, and removes entries that Docker no longer has. They differ after one side did not run. */
  async #compare(all: readonly Network[], { driven, addressed }: OurNetworks): Promise<void> {
    const { store, engine, driver, log } = this.#deps;
    const ids = new Set(all.map(({ Id }) => Id));
    const before = systemClock.wall() - UNCONFIRMED_MS;
    for (const [id, { made }] of store.networks.all) if (!ids.has(id) && made <= before) store.networks.remove(id);
    const inUse = new Set<string>();
    const shown = new Set<string>();
    for (const network of new Set([...driven, ...addressed])) {
      // Docker's list of networks shows no containers.
      const containers = Object.values((await engine.network(network.Id)).Containers);
      const isDriven = driven.includes(network);
      if (isDriven) {
        for (const { EndpointID, IPv4Address, IPv6Address } of containers) {
          shown.add(EndpointID);
          this.#learnEndpoint(network.Id, EndpointID, { address: IPv4Address, address6: IPv6Address });
        }
      }
      if (addressed.includes(network)) {
        const use = isDriven ? "container" : "other driver";
        for (const { IPv4Address } of containers) this.#learnAddress(IPv4Address, use, inUse);
        this.#learnFixedAddresses(network, inUse);
      }
    }
    this.#shown = shown;
    await this.#deleteEndpoints(shown, before, inUse);
    for (const [address, { asked }] of store.addresses.all) {
      if (inUse.has(address) || asked > before) continue;
      log.info("an address that Docker no longer uses was released", { address });
      driver.release(address);
    }
  }

  /** Deletes endpoints that Docker no longer shows. An endpoint whose interface is in a container stays: Docker's list is wrong. */
  async #deleteEndpoints(shown: ReadonlySet<string>, before: number, inUse: Set<string>): Promise<void> {
    const { store, network, log } = this.#deps;
    const gone = store.endpoints.all.filter(([id, { made }]) => !shown.has(id) && made <= before).map(([id]) => id);
    const inContainers = gone.length === 0 ? new Set<string>() : await endpointsInContainers(gone);
    for (const [EndpointID, { network: NetworkID, address }] of store.endpoints.all) {
      if (gone.includes(EndpointID) && !inContainers.has(EndpointID)) {
        network.deleteEndpoint({ NetworkID, EndpointID });
        continue;
      }
      inUse.add(addressOfCidr(address));
      if (inContainers.has(EndpointID) && !this.#hidden.has(EndpointID))
        log.warn("Docker does not show an endpoint whose interface is in a container; the endpoint stays", {
          endpoint: EndpointID,
          address,
        });
    }
    this.#hidden = inContainers;
  }

  /** Stores the addresses of a network itself: gateway and auxiliary addresses. */
  #learnFixedAddresses({ IPAM }: Network, inUse: Set<string>): void {
    for (const { Subnet, Gateway, AuxiliaryAddresses } of IPAM?.Config ?? []) {
      const prefix = Subnet.split("/")[1];
      for (const address of Object.values(AuxiliaryAddresses))
        this.#learnAddress(`${addressOfCidr(address)}/${prefix}`, "auxiliary", inUse);
      const gateway = `${addressOfCidr(Gateway)}/${prefix}`;
      // The subnet's own address means "no gateway": see the IPAM driver.
      if (Gateway !== "" && gateway !== Subnet) this.#learnAddress(gateway, "gateway", inUse);
    }
  }

  #learnAddress(cidr: string, use: AddressUse, inUse: Set<string>): void {
    if (cidr === "") return;
    inUse.add(addressOfCidr(cidr));
    try {
      this.#deps.driver.learn(parseLease(cidr), use);
    } catch (error) {
      this.#deps.log.warn("an address is in use twice on this host", { address: cidr, use, why: errorText(error) });
    }
  }

  #learnEndpoint(network: string, endpoint: string, addresses: { address: string; address6: string }): void {
    try {
      this.#deps.network.learnEndpoint(network, endpoint, addresses);
    } catch (error) {
      const { address } = addresses;
      this.#deps.log.warn("an address is in use twice on this host", { endpoint, address, why: errorText(error) });
    }
  }
}
