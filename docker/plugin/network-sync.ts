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

/** Docker may have stopped before it had our answer: interval between checks for entries that it does not know. */
const CHECK_MS = 15_000;
/** `docker network prune` removes several networks, one after the other: the comparison waits for all. */
const PRUNE_MS = 500;
/** Interval between attempts to hold gateways that other hosts hold: one may have released its gateway. */
const GATEWAYS_MS = 60_000;

export interface NetworkSyncDeps {
  readonly engine: Engine;
  readonly store: PluginStore;
  readonly network: NetworkDriver;
  readonly driver: IpamDriver;
  readonly defaultNetwork: DefaultNetwork;
  readonly names: DriverNames;
  readonly log: Log;
}

/** The networks that concern us, of all that Docker lists. */
interface OurNetworks {
  /** Of our network driver. */
  readonly driven: readonly Network[];
  /** With addresses of our IPAM driver; other drivers may have them, too. */
  readonly addressed: readonly Network[];
}

/** Keeps Docker's networks, endpoints and addresses equal to ours: compares both each time an engine connects, and later when it must. */
export class NetworkSync implements EngineListener {
  readonly #deps: NetworkSyncDeps;
  readonly #stop = new AbortController();
  /** Endpoints that Docker showed at the last comparison. */
  #shown: ReadonlySet<string> = new Set();
  /** Endpoints that Docker does not show although their interfaces are in containers. */
  #hidden: ReadonlySet<string> = new Set();
  /** The last comparison, or the one in progress. */
  #comparison: Promise<void> = Promise.resolve();
  #soon: NodeJS.Timeout | undefined;

  constructor(deps: NetworkSyncDeps) {
    this.#deps = deps;
  }

  /** Starts the regular checks. */
  watch(): void {
    const timers = [
      setInterval(() => {
        if (this.#isSuspicious()) void this.compare();
      }, CHECK_MS),
      setInterval(() => this.#deps.driver.holdGateways(), GATEWAYS_MS),
    ];
    for (const timer of timers) timer.unref();
    this.#stop.signal.addEventListener("abort", () => {
      for (const timer of timers) clearInterval(timer);
    });
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#soon);
  }

  connected(): Promise<void> {
    return this.compare();
  }

  /** A network that is removed may be the default network. */
  event({ Type, Action }: EngineEvent): void {
    if (Type !== "network" || Action !== "destroy") return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.compare();
    }, PRUNE_MS).unref();
  }

  /** Compares, after a comparison that is in progress. Never rejects: a failure is logged, and the next connect compares again. */
  compare(): Promise<void> {
    this.#comparison = this.#comparison.then(() => this.#compareAll());
    return this.#comparison;
  }

  /** Whether an address has no endpoint, or an endpoint was never shown: otherwise Docker need not be read. */
  #isSuspicious(): boolean {
    const { store, defaultNetwork } = this.#deps;
    const { addresses, endpoints, usedAddresses: used } = store;
    const before = systemClock.wall() - UNCONFIRMED_MS;
    return (
      defaultNetwork.missing ||
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
      await defaultNetwork.ensure(all);
    } catch (error) {
      log.warn("Docker's networks could not be compared with ours", { why: errorText(error) });
    }
  }

  /**
   * Docker calls a driver by its socket, or by the name that it was installed with; a network that it created by calling us
   * is ours whatever it calls the driver.
   */
  #select(all: readonly Network[]): OurNetworks {
    const { names, store } = this.#deps;
    const made = all.filter(({ Id }) => store.networks.has(Id));
    const drivers = new Set([names.network, names.mesh, ...made.map(({ Driver }) => Driver)]);
    const addressing = new Set<string | undefined>([
      names.mesh,
      ...made.filter(({ Id }) => store.networks.get(Id)?.ours).map(({ IPAM }) => IPAM?.Driver),
    ]);
    return {
      driven: all.filter(({ Driver }) => drivers.has(Driver)),
      addressed: all.filter(({ IPAM }) => IPAM != null && addressing.has(IPAM.Driver)),
    };
  }

  /** Learns what Docker has and we do not, and drops what Docker no longer has: one of the two was stopped when it changed. */
  async #compare(all: readonly Network[], { driven, addressed }: OurNetworks): Promise<void> {
    const { store, engine, driver, log } = this.#deps;
    const ids = new Set(all.map(({ Id }) => Id));
    const before = systemClock.wall() - UNCONFIRMED_MS;
    for (const [id, { made }] of store.networks.all) if (!ids.has(id) && made <= before) store.networks.remove(id);
    const inUse = new Set<string>();
    const shown = new Set<string>();
    for (const network of new Set([...driven, ...addressed])) {
      // The list shows no containers; a network by itself does.
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
      log.info("an address that Docker no longer knows of is free again", { address });
      driver.release(address);
    }
  }

  /** Deletes endpoints that Docker no longer shows, unless the interface is in a container: then Docker is wrong. */
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
        log.warn("Docker does not show an endpoint whose interface is in a container; it is left as it is", {
          endpoint: EndpointID,
          address,
        });
    }
    this.#hidden = inContainers;
  }

  /** Learns the addresses that a network itself holds. */
  #learnFixedAddresses({ IPAM }: Network, inUse: Set<string>): void {
    for (const { Subnet, Gateway, AuxiliaryAddresses } of IPAM?.Config ?? []) {
      const prefix = Subnet.split("/")[1];
      for (const address of Object.values(AuxiliaryAddresses))
        this.#learnAddress(`${addressOfCidr(address)}/${prefix}`, "auxiliary", inUse);
      const gateway = `${addressOfCidr(Gateway)}/${prefix}`;
      // The network's own address means "no gateway": see the IPAM driver.
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
