import type { Engine } from "#docker/engine/engine.js";
import type { Network } from "#docker/engine/shapes.js";
import { type Book, FRESH_MS } from "#docker/plugin/book.js";
import type { IpamDriver } from "#docker/plugin/ipam-driver.js";
import type { NetworkDriver } from "#docker/plugin/network-driver.js";
import { DRIVER, MESH_DRIVER } from "#docker/plugin/plugin.js";
import type { Subnet } from "#ipam/subnet.js";
import { systemClock } from "#src/clock.js";
import { textOf } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";

/** Docker's network that is there without anybody's doing. As the original. */
export const NETWORK = "weave";
/** Docker may have gone away before it had our answer: what it does not know of is looked for this often. */
const LOOK_MS = 15_000;
/** `docker network prune` removes several, one after the other. */
const GATHER_MS = 500;

export interface NetworksParts {
  readonly engine: Engine;
  readonly book: Book;
  readonly network: NetworkDriver;
  /** Undefined where IPAM is off: then there is no network that is always there. */
  readonly ipam: { readonly defaultSubnet: Subnet } | undefined;
  readonly driver: IpamDriver;
  readonly log: Log;
  readonly problems: Problems;
}

/** Keeps Docker's list of our networks and ours of Docker's the same, each time an engine comes up. */
export class Networks {
  readonly #parts: NetworksParts;
  /** Endpoints that Docker has shown. */
  #seen: ReadonlySet<string> = new Set();
  /** The last comparison, or the one that goes on. */
  #settled: Promise<void> = Promise.resolve();
  #soon: NodeJS.Timeout | undefined;
  /** The network that is always there could not be made. */
  #missing = false;
  #leaving = false;

  constructor(parts: NetworksParts) {
    this.#parts = parts;
  }

  /** Looks for what Docker has forgotten, until `signal` is aborted. */
  watch(signal: AbortSignal): void {
    const timer = setInterval(() => {
      if (this.#isSuspicious()) void this.settle();
    }, LOOK_MS).unref();
    const stop = () => {
      clearInterval(timer);
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
    const before = systemClock.wall() - FRESH_MS;
    return (
      this.#missing ||
      addresses.all.some(([address, asked]) => asked <= before && !used.has(address)) ||
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
      const networks = (await this.#parts.engine.networks()).filter(({ Driver }) =>
        [DRIVER, MESH_DRIVER].includes(Driver),
      );
      for (const { Id, IPAM, Options } of networks)
        this.#parts.network.learnNetwork(Id, IPAM?.Driver === MESH_DRIVER, Options);
      await this.#compare(networks);
      await this.#ensure(networks.find(({ Name }) => Name === NETWORK));
    } catch (error) {
      this.#parts.log.warn("Docker's networks could not be looked at", { why: textOf(error) });
    }
  }

  /** What Docker has of us that we do not know, and what it has no more: somebody died, or was away, at the time. */
  async #compare(networks: readonly Network[]): Promise<void> {
    const ids = new Set(networks.map(({ Id }) => Id));
    const before = systemClock.wall() - FRESH_MS;
    for (const [id, { made }] of this.#parts.book.networks.all)
      if (!ids.has(id) && made <= before) this.#parts.book.networks.remove(id);
    // The list has no containers; each network by itself has.
    const inUse = new Set<string>();
    const endpoints = new Set<string>();
    for (const { Id } of networks) {
      for (const { EndpointID, IPv4Address } of Object.values((await this.#parts.engine.network(Id)).Containers)) {
        endpoints.add(EndpointID);
        inUse.add(IPv4Address.split("/")[0]);
        this.#learn(Id, EndpointID, IPv4Address);
      }
    }
    this.#seen = endpoints;
    for (const [EndpointID, { network: NetworkID, address, made }] of this.#parts.book.endpoints.all) {
      if (endpoints.has(EndpointID) || made > before) inUse.add(address.split("/")[0]);
      else this.#parts.network.deleteEndpoint({ NetworkID, EndpointID });
    }
    for (const [address, asked] of this.#parts.book.addresses.all) {
      if (inUse.has(address) || asked > before) continue;
      this.#parts.log.info("an address that Docker no longer knows of is free again", { address });
      this.#parts.driver.release(address);
    }
  }

  #learn(network: string, endpoint: string, address: string): void {
    try {
      this.#parts.network.learnEndpoint(network, endpoint, address);
    } catch (error) {
      this.#parts.log.warn("an address is in use twice on this host", { endpoint, address, why: textOf(error) });
    }
  }

  /** Makes the network `weave`, if it is not there. Its subnet is given in words: so Docker does not look for overlaps. */
  async #ensure(existing: Network | undefined): Promise<void> {
    const subnet = this.#parts.ipam?.defaultSubnet.text;
    if (subnet === undefined || this.#leaving) return;
    if (existing !== undefined) {
      const [config] = existing.IPAM?.Config ?? [];
      if (config === undefined || config.Subnet === subnet) return this.#made();
      this.#parts.log.info("Docker's network has another subnet than ours; it is made anew", { subnet: config.Subnet });
      await this.#parts.engine.removeNetwork(existing.Id);
    }
    try {
      await this.#create(subnet);
      this.#parts.log.info("Docker's network is made", { network: NETWORK, subnet });
      this.#made();
    } catch (error) {
      const why = `Docker's network ${NETWORK} cannot be made: ${textOf(error)}`;
      if (!this.#missing) this.#parts.log.warn(why);
      this.#missing = true;
      this.#parts.problems.set("docker network", why);
    }
  }

  #made(): void {
    this.#missing = false;
    this.#parts.problems.clear("docker network");
  }

  #create(subnet: string): Promise<void> {
    return this.#parts.engine.createNetwork({
      Name: NETWORK,
      CheckDuplicate: true,
      Driver: MESH_DRIVER,
      IPAM: { Driver: MESH_DRIVER, Config: [{ Subnet: subnet }] },
      Options: { "works.weave.multicast": "true" },
    });
  }
}
