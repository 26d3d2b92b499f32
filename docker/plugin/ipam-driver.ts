import { NetworkCreations } from "#docker/plugin/network-creations.js";
import type { AddressUse, PluginStore } from "#docker/plugin/plugin-store.js";
import {
  isGateway,
  type Pool,
  type ReleaseAddress,
  type RequestAddress,
  type RequestPool,
} from "#docker/plugin/protocol.js";
import type { PluginAnswer } from "#docker/plugin/socket.js";
import { ANONYMOUS, type Requests } from "#ipam/allocation/requests.js";
import { addressText, type Lease, leaseText, parseAddress, parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import { addressOfCidr } from "#src/address.js";
import type { Clock } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Limit for the wait for free space or for the first ring: Docker holds locks while it waits. */
const WAIT_MS = 15_000;
/**
 * Rate of requests for any pool above which they are a loop of libnetwork: it repeats the request, without pause or end, while the pool of
 * the answer overlaps a route or a name server of the host. Users do not create networks at this rate.
 */
const POOL_LOOP = { calls: 8, withinMs: 2_000 };

/** Uses of an address in words, for errors. */
const USED_BY: Readonly<Record<AddressUse, string>> = {
  container: "by a container on a network of weave's",
  gateway: "as the gateway of a network",
  auxiliary: "as an auxiliary address of a network (--aux-address)",
  "other driver": "by a container on a network that takes its addresses from weave",
};

/** Addresses of networks themselves. */
type FixedUse = "gateway" | "auxiliary";

const isFixed = (use: AddressUse): use is FixedUse => use === "gateway" || use === "auxiliary";

export interface IpamDriverDeps {
  /** Undefined when address allocation is off. */
  readonly ipam: { readonly requests: Requests; readonly defaultSubnet: Subnet } | undefined;
  readonly store: PluginStore;
  /** Returns a route of the host that overlaps a network; undefined if there is none. */
  readonly overlappingRoute: (cidr: string) => Promise<string | undefined>;
  /** Describes a holder of addresses, for messages. */
  readonly describe: (ident: string) => string;
  /** Called with each address that a user chose and Docker has obtained. */
  readonly onRequested: (address: bigint) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Remote IPAM driver of Docker. A pool is a subnet of our range. Its id contains its whole state, so that pools are not stored. */
export class IpamDriver {
  readonly #deps: IpamDriverDeps;
  /** Times of the latest requests for any pool, in ms. */
  #poolRequests: number[] = [];
  readonly #creations: NetworkCreations;

  constructor(deps: IpamDriverDeps) {
    this.#deps = deps;
    this.#creations = new NetworkCreations(deps.clock);
  }

  /** Answers a request for a pool: the default subnet if it names none. @throws WEAVE_PLUGIN, WEAVE_ADDRESS_INVALID */
  async requestPool({ Pool, SubPool, V6 }: RequestPool): Promise<object> {
    const { defaultSubnet } = this.#ipam();
    if (V6)
      throw new WeaveError("WEAVE_PLUGIN", "weave allocates no IPv6 addresses yet: create the network without --ipv6");
    const subnet = Pool === "" ? defaultSubnet : parseSubnet(Pool);
    if (Pool === "") await this.#checkOverlap(subnet);
    const range = SubPool === "" ? subnet : parseSubnet(SubPool);
    if (range.start < subnet.start || range.end > subnet.end) {
      throw new WeaveError("WEAVE_PLUGIN", `the range ${range.text} is not within the subnet ${subnet.text}`);
    }
    const PoolID = `weave-${subnet.text}-${range.text}`;
    this.#creations.touch(PoolID);
    return { PoolID, Pool: subnet.text, Data: {} };
  }

  /** Answers the release of a pool, which has no state beside its id. */
  releasePool({ PoolID }: Pool): object {
    this.#creations.end(PoolID);
    return {};
  }

  /** Docker has created networks with these subnets, or with any if undefined. */
  networkCreated(subnets: readonly string[] | undefined): void {
    this.#creations.endWhere((pool) => subnets === undefined || subnets.includes(parsePool(pool).subnet.text));
  }

  /** Allocates an address of a pool, or claims the one that the user chose. @throws WEAVE_PLUGIN, WEAVE_PLUGIN_CALL; errors of IPAM */
  async requestAddress(call: RequestAddress, signal: AbortSignal): Promise<PluginAnswer> {
    const { requests } = this.#ipam();
    const { subnet, range } = parsePool(call.PoolID);
    if (isGateway(call)) {
      this.#creations.touch(call.PoolID);
      // Without a user's choice the answer is the subnet's own address, which no container ever has (as in Weave Net).
      if (call.Address === "") return { body: { Address: subnet.text, Data: {} } };
      return this.#requestFixed(call.Address, subnet, "gateway");
    }
    if (call.Address !== "" && this.#creations.includes(call.PoolID)) {
      this.#creations.touch(call.PoolID);
      return this.#requestFixed(call.Address, subnet, "auxiliary");
    }
    const options = { signal, timeoutMs: WAIT_MS };
    let address: bigint;
    if (call.Address !== "") {
      address = parseAddress(call.Address);
      this.#refuseTaken(address);
      await requests.claim(ANONYMOUS, { address, prefix: subnet.prefix }, options);
      // IPAM cannot distinguish two calls at the same time, as both use one holder. The first to reach this line has the address.
      this.#refuseTaken(address);
      this.#deps.onRequested(address);
    } else {
      address = (await requests.allocate(ANONYMOUS, range, options)).address;
    }
    this.#record(address, "container");
    const text = addressText(address);
    return {
      body: { Address: leaseText({ address, prefix: subnet.prefix }), Data: {} },
      undo: () => this.release(text),
    };
  }

  /**
   * Answers Docker's request for an address of a network itself: its gateway, although there is none, or an auxiliary address. All hosts
   * with the network request it. It is held while the network exists, by one of them.
   */
  #requestFixed(given: string, subnet: Subnet, use: FixedUse): PluginAnswer {
    const address = parseAddress(given);
    const body = { Address: leaseText({ address, prefix: subnet.prefix }), Data: {} };
    if (this.#deps.store.addresses.get(given)?.use === use) return { body };
    this.#refuseTaken(address);
    this.#deps.store.addresses.put(given, { asked: this.#deps.clock.wall(), use });
    void this.#hold(given);
    return { body, undo: () => this.release(given) };
  }

  /** Claims a fixed address in the background: there may be no ring yet, and another host may hold it for the same network. */
  async #hold(given: string): Promise<void> {
    const address = parseAddress(given);
    try {
      await this.#ipam().requests.claim(ANONYMOUS, { address, prefix: 32 }, { timeoutMs: WAIT_MS });
      // The network may have been removed during the claim.
      if (!this.#deps.store.addresses.has(given)) this.#ipam().requests.free(ANONYMOUS, address);
    } catch (error) {
      this.#deps.log.debug("a network's fixed address is not held by this host", {
        address: given,
        why: errorText(error),
      });
    }
  }

  /** Releases an address. One that is not held, such as a gateway's or one released before, is no error. @throws WEAVE_PLUGIN_CALL */
  releaseAddress({ PoolID, Address }: ReleaseAddress): object {
    parsePool(PoolID);
    this.release(addressText(parseAddress(addressOfCidr(Address))));
    return {};
  }

  /** Releases an address of ours, without prefix length. */
  release(address: string): void {
    if (!this.#deps.store.addresses.has(address)) return;
    try {
      this.#ipam().requests.free(ANONYMOUS, parseAddress(address));
    } catch (error) {
      this.#deps.log.info("an address that Docker releases was not held", { address, why: errorText(error) });
    }
    this.#deps.store.addresses.remove(address);
  }

  /** Stores an address of ours that Docker shows, with its use. It may be unknown here because the disk was lost, for example. */
  learn({ address, prefix }: Lease, use: AddressUse): void {
    const text = addressText(address);
    const known = this.#deps.store.addresses.get(text);
    if (known?.use !== use)
      this.#deps.store.addresses.put(text, { asked: known?.asked ?? this.#deps.clock.wall(), use });
    // Another peer may hold a fixed address: see holdFixed.
    if (!isFixed(use)) this.#deps.ipam?.requests.found(text, { address, prefix }, false);
  }

  /** Claims again the fixed addresses that this host does not hold: another host had them, or there was no ring. */
  holdFixed(): void {
    for (const [text, { use }] of this.#deps.store.addresses.all)
      if (isFixed(use) && this.#deps.ipam?.requests.holderOf(parseAddress(text)) === undefined) void this.#hold(text);
  }

  /** Stores an address before Docker receives it; frees the address on failure. @throws WEAVE_STORE */
  #record(address: bigint, use: AddressUse): void {
    try {
      this.#deps.store.addresses.put(addressText(address), { asked: this.#deps.clock.wall(), use });
    } catch (error) {
      this.#ipam().requests.free(ANONYMOUS, address);
      throw error;
    }
  }

  /** Rejects an address in use on this host. IPAM does not: all addresses of the plugin have one holder. @throws WEAVE_PLUGIN */
  #refuseTaken(address: bigint): void {
    const text = addressText(address);
    const use = this.#deps.store.addresses.get(text)?.use;
    const holder = this.#ipam().requests.holderOf(address);
    if (use === undefined && (holder === undefined || holder === text)) return;
    const by = use === undefined ? `by ${this.#deps.describe(holder ?? "")}` : USED_BY[use];
    throw new WeaveError("WEAVE_PLUGIN", `address ${text} already in use on this host, ${by}`, {
      next:
        use === undefined
          ? "'weave ps' shows the addresses of each container."
          : "'docker network inspect' shows the addresses of a network's containers.",
    });
  }

  /** Rejects a pool that Docker would refuse and request again without end. @throws WEAVE_PLUGIN */
  async #checkOverlap(subnet: Subnet): Promise<void> {
    const route = await this.#deps.overlappingRoute(subnet.text);
    const now = this.#deps.clock.now();
    this.#poolRequests = [...this.#poolRequests.filter((at) => now - at < POOL_LOOP.withinMs), now];
    const looping = this.#poolRequests.length > POOL_LOOP.calls;
    if (route === undefined && !looping) return;
    const why =
      route === undefined ? "this host's routes or name servers" : `the route ${route} of this host ('weave expose'?)`;
    throw new WeaveError(
      "WEAVE_PLUGIN",
      `the default subnet ${subnet.text} overlaps ${why}: Docker would not accept it`,
      {
        next: `Choose a subnet: 'docker network create --subnet ${subnet.text} …'.`,
      },
    );
  }

  #ipam(): { requests: Requests; defaultSubnet: Subnet } {
    if (this.#deps.ipam !== undefined) return this.#deps.ipam;
    throw new WeaveError("WEAVE_PLUGIN", "IP address allocation is off on this host (--ipalloc-range '')", {
      next: "Launch weave with a range, or use Docker's own IPAM (--driver weave without --ipam-driver).",
    });
  }
}

/** Reads subnet and range from the id of a pool. @throws WEAVE_PLUGIN_CALL */
export function parsePool(id: string): { subnet: Subnet; range: Subnet } {
  const match = /^weave-([\d./]{9,18})-([\d./]{9,18})$/.exec(id);
  if (match === null)
    throw new WeaveError("WEAVE_PLUGIN_CALL", `weave has no address pool ${JSON.stringify(id.slice(0, 100))}`);
  return { subnet: parseSubnet(match[1]), range: parseSubnet(match[2]) };
}
