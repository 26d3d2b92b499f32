import { UNCONFIRMED_MS } from "#docker/addresses/requested-addresses.js";
import type { Engine } from "#docker/engine/engine.js";
import type { Network } from "#docker/engine/shapes.js";
import type { IpamDriver } from "#docker/plugin/ipam-driver.js";
import type { NetworkDriver } from "#docker/plugin/network-driver.js";
import type { DriverNames } from "#docker/plugin/plugin.js";
import type { PluginStore, Use } from "#docker/plugin/plugin-store.js";
import { parseLease, type Subnet } from "#ipam/ring/subnet.js";
import { addressOfCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import { endpointsInContainers } from "#src/linux/endpoint.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";

/** Docker's network that is there without anybody's doing. As the original. */
export const DEFAULT_NETWORK = "weave";
/** Docker may have gone away before it had our answer: what it does not know of is looked for this often. */
const LOOK_MS = 15_000;
/** `docker network prune` removes several, one after the other. */
const GATHER_MS = 500;

/** A gateway that another host holds is tried this often: it may have given it up. */
const GATEWAYS_MS = 60_000;

export interface NetworkSyncDeps {
  readonly engine: Engine;
  readonly book: PluginStore;
  readonly network: NetworkDriver;
  readonly names: DriverNames;
  /** Undefined where IPAM is off: then there is no network that is always there. */
  readonly ipam: { readonly defaultSubnet: Subnet } | undefined;
  readonly driver: IpamDriver;
  readonly log: Log;
  readonly problems: Problems;
}

/** Keeps Docker's list of our networks and ours of Docker's the same, each time an engine comes up. */
export class NetworkSync {
  readonly #parts: NetworkSyncDeps;
  /** Endpoints that Docker has shown. */
  #seen: ReadonlySet<string> = new Set();
  /** The last comparison, or the one that goes on. */
  #settled: Promise<void> = Promise.resolve();
  #soon: NodeJS.Timeout | undefined;
  /** The network that is always there could not be made. */
  #missing = false;
  #leaving = false;
  /** Endpoints that Docker does not show, and that are in containers. */
  #hidden: ReadonlySet<string> = new Set();

  constructor(parts: NetworkSyncDeps) {
    this.#parts = parts;
  }

  /** Looks for what Docker has forgotten, until `signal` is aborted. */
  watch(signal: AbortSignal): void {
    const timers = [
      setInterval(() => {
        if (this.#isSuspicious()) void this.settle();
      }, LOOK_MS),
      setInterval(() => this.#parts.driver.holdGateways(), GATEWAYS_MS),
    ];
    for (const timer of timers) timer.unref();
    const stop = () => {
      for (const timer of timers) clearInterval(timer);
      clearTimeout(this.#soon);
    };
    signal.addEventListener("abort", stop, { once: true });
  }

  /** One of Docker's networks was removed: it may be the one that is always there. */
  lookSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.settle();
    }, GATHER_MS).unref();
  }

  /** From now on a network that is removed stays so: the router is about to stop. */
  leave(): void {
    this.#leaving = true;
  }

  /** Whether there is an address without an endpoint: Docker need not be asked otherwise. */
  #isSuspicious(): boolean {
    const { addresses, endpoints, usedAddresses: used } = this.#parts.book;
    const before = systemClock.wall() - UNCONFIRMED_MS;
    return (
      this.#missing ||
      addresses.all.some(([text, { asked, use }]) => use === "container" && asked <= before && !used.has(text)) ||
      endpoints.all.some(([id, { made }]) => made <= before && !this.#seen.has(id))
    );
  }

  /** Never twice at once. A failure is logged: what could not be settled now is at the next start of an engine. */
  settle(): Promise<void> {
    this.#settled = this.#settled.then(() => this.#settle());
    return this.#settled;
  }

  async #settle(): Promise<void> {
    try {
      const all = await this.#parts.engine.networks();
      const { driven, addressed } = this.#ours(all);
      for (const { Id, Options } of driven)
        this.#parts.network.learnNetwork(
          Id,
          addressed.some((each) => each.Id === Id),
          Options,
        );
      await this.#compare(all, driven, addressed);
      await this.#ensure(all.find(({ Name }) => Name === DEFAULT_NETWORK));
    } catch (error) {
      this.#parts.log.warn("Docker's networks could not be looked at", { why: errorText(error) });
    }
  }

  /**
   * Networks of our drivers, and those (of other drivers, too) whose addresses are ours. Docker calls a driver by its socket,
   * or as it was installed; it is certain of a network that it made by calling us.
   */
  #ours(all: readonly Network[]): { driven: Network[]; addressed: Network[] } {
    const { names, book } = this.#parts;
    const made = all.filter(({ Id }) => book.networks.has(Id));
    const drivers = new Set([names.network, names.mesh, ...made.map(({ Driver }) => Driver)]);
    const addressing = new Set<string | undefined>([
      names.mesh,
      ...made.filter(({ Id }) => book.networks.get(Id)?.ours).map(({ IPAM }) => IPAM?.Driver),
    ]);
    return {
      driven: all.filter(({ Driver }) => drivers.has(Driver)),
      addressed: all.filter(({ IPAM }) => IPAM != null && addressing.has(IPAM.Driver)),
    };
  }

  /** What Docker has of us that we do not know, and what it has no more: somebody died, or was away, at the time. */
  async #compare(all: readonly Network[], driven: readonly Network[], addressed: readonly Network[]): Promise<void> {
    const { book, engine } = this.#parts;
    const ids = new Set(all.map(({ Id }) => Id));
    const before = systemClock.wall() - UNCONFIRMED_MS;
    for (const [id, { made }] of book.networks.all) if (!ids.has(id) && made <= before) book.networks.remove(id);
    const inUse = new Map<string, Use>();
    const endpoints = new Set<string>();
    for (const network of new Set([...driven, ...addressed])) {
      // The list has no containers; each network by itself has.
      const containers = Object.values((await engine.network(network.Id)).Containers);
      if (driven.includes(network)) {
        for (const { EndpointID, IPv4Address, IPv6Address } of containers) {
          endpoints.add(EndpointID);
          this.#learn(network.Id, EndpointID, IPv4Address, IPv6Address);
        }
      }
      if (addressed.includes(network)) {
        const use = driven.includes(network) ? "container" : "other driver";
        for (const { IPv4Address } of containers) this.#learnAddress(IPv4Address, use, inUse);
        this.#learnFixed(network, inUse);
      }
    }
    this.#seen = endpoints;
    await this.#deleteEndpoints(endpoints, before, inUse);
    for (const [address, { asked }] of book.addresses.all) {
      if (inUse.has(address) || asked > before) continue;
      this.#parts.log.info("an address that Docker no longer knows of is free again", { address });
      this.#parts.driver.release(address);
    }
  }

  /** Endpoints that Docker no longer shows go, unless a container has their interface: then it is Docker that errs. */
  async #deleteEndpoints(shown: ReadonlySet<string>, before: number, inUse: Map<string, Use>): Promise<void> {
    const { book, network, log } = this.#parts;
    const gone = book.endpoints.all.filter(([id, { made }]) => !shown.has(id) && made <= before).map(([id]) => id);
    const inContainers = gone.length === 0 ? new Set<string>() : await endpointsInContainers(gone);
    for (const [EndpointID, { network: NetworkID, address }] of book.endpoints.all) {
      if (gone.includes(EndpointID) && !inContainers.has(EndpointID)) {
        network.deleteEndpoint({ NetworkID, EndpointID });
        continue;
      }
      inUse.set(addressOfCidr(address), "container");
      if (inContainers.has(EndpointID) && !this.#hidden.has(EndpointID))
        log.warn("Docker does not show an endpoint whose interface is in a container; it is left as it is", {
          endpoint: EndpointID,
          address,
        });
    }
    this.#hidden = inContainers;
  }

  /** The addresses that a network itself holds. */
  #learnFixed({ IPAM }: Network, inUse: Map<string, Use>): void {
    for (const { Subnet, Gateway, AuxiliaryAddresses } of IPAM?.Config ?? []) {
      const prefix = Subnet.split("/")[1];
      for (const address of Object.values(AuxiliaryAddresses))
        this.#learnAddress(`${addressOfCidr(address)}/${prefix}`, "auxiliary", inUse);
      const gateway = `${addressOfCidr(Gateway)}/${prefix}`;
      // The network's own address stands for no gateway: see the IPAM driver.
      if (Gateway !== "" && gateway !== Subnet) this.#learnAddress(gateway, "gateway", inUse);
    }
  }

  #learnAddress(cidr: string, use: Use, inUse: Map<string, Use>): void {
    if (cidr === "") return;
    inUse.set(addressOfCidr(cidr), use);
    try {
      this.#parts.driver.learn(parseLease(cidr), use);
    } catch (error) {
      this.#parts.log.warn("an address is in use twice on this host", { address: cidr, use, why: errorText(error) });
    }
  }

  #learn(network: string, endpoint: string, address: string, address6: string): void {
    try {
      this.#parts.network.learnEndpoint(network, endpoint, { address, address6 });
    } catch (error) {
      this.#parts.log.warn("an address is in use twice on this host", { endpoint, address, why: errorText(error) });
    }
  }

  /** Makes the network `weave`, if it is not there. Its subnet is given in words: so Docker does not look for overlaps. */
  async #ensure(existing: Network | undefined): Promise<void> {
    const { ipam, names, engine, log } = this.#parts;
    const subnet = ipam?.defaultSubnet.text;
    if (subnet === undefined || this.#leaving) return;
    if (existing !== undefined) {
      if (existing.Driver !== names.mesh) {
        this.#cannot(
          `it has one of driver ${existing.Driver}, and ours is ${names.mesh}: 'docker network rm ${DEFAULT_NETWORK}'`,
        );
        return;
      }
      const [config] = existing.IPAM?.Config ?? [];
      if (config === undefined || config.Subnet === subnet) return this.#made();
      log.info("Docker's network has another subnet than ours; it is made again", { subnet: config.Subnet });
      await engine.removeNetwork(existing.Id);
    }
    try {
      await this.#create(subnet);
      log.info("Docker's network is made", { network: DEFAULT_NETWORK, subnet });
      this.#made();
    } catch (error) {
      this.#cannot(errorText(error));
    }
  }

  #cannot(reason: string): void {
    const why = `Docker's network ${DEFAULT_NETWORK} cannot be made: ${reason}`;
    if (!this.#missing) this.#parts.log.warn(why);
    this.#missing = true;
    this.#parts.problems.set("docker network", why);
  }

  #made(): void {
    this.#missing = false;
    this.#parts.problems.clear("docker network");
  }

  #create(subnet: string): Promise<void> {
    const { engine, names } = this.#parts;
    return engine.createNetwork({
      Name: DEFAULT_NETWORK,
      CheckDuplicate: true,
      Driver: names.mesh,
      IPAM: { Driver: names.mesh, Config: [{ Subnet: subnet }] },
      Options: { "works.weave.multicast": "true" },
    });
  }
}
