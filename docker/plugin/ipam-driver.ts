import type { PluginStore, Use } from "#docker/plugin/plugin-store.js";
import { isGateway, type ReleaseAddress, type RequestAddress, type RequestPool } from "#docker/plugin/protocol.js";
import type { PluginAnswer } from "#docker/plugin/socket.js";
import { ANONYMOUS, type Requests } from "#ipam/allocation/requests.js";
import { addressText, type Lease, leaseText, parseAddress, parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import { addressOfCidr } from "#src/address.js";
import { type Clock, systemClock } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** A wait for space or for a first ring has an end: Docker holds locks meanwhile. */
const WAIT_MS = 15_000;
/**
 * libnetwork asks again, at once and for ever, while the pool it got for "any" overlaps a route or a name server of the host.
 * People do not create this many networks in this time.
 */
const LOOP = { calls: 8, withinMs: 2_000 };

/** In errors: by what an address is in use. */
const USED_BY: Readonly<Record<Use, string>> = {
  container: "by a container on a network of weave's",
  gateway: "as the gateway of a network",
  auxiliary: "as an auxiliary address of a network (--aux-address)",
  "other driver": "by a container on a network that takes its addresses from weave",
};

export interface IpamDriverDeps {
  /** Undefined where IPAM is off. */
  readonly ipam: { readonly requests: Requests; readonly defaultSubnet: Subnet } | undefined;
  readonly book: PluginStore;
  /** A route of the host that overlaps a network; undefined where there is none. */
  readonly overlappingRoute: (cidr: string) => Promise<string | undefined>;
  /** What users call a holder of addresses. */
  readonly describe: (ident: string) => string;
  /** An address was asked for by name, and given. */
  readonly onAsked?: (address: bigint) => void;
  readonly clock?: Clock;
  readonly log: Log;
}

/** Docker's remote IPAM driver: pools are subnets of our range, and carry all that they are in their ids. */
export class IpamDriver {
  readonly #parts: IpamDriverDeps;
  readonly #clock: Clock;
  #asked: number[] = [];

  constructor(parts: IpamDriverDeps) {
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
  }

  /** @throws WEAVE_PLUGIN, WEAVE_ADDRESS_INVALID */
  async requestPool({ Pool, SubPool, V6 }: RequestPool): Promise<object> {
    const { defaultSubnet } = this.#ipam();
    if (V6)
      throw new WeaveError("WEAVE_PLUGIN", "weave allocates no IPv6 addresses yet: create the network without --ipv6");
    const subnet = Pool === "" ? defaultSubnet : parseSubnet(Pool);
    if (Pool === "") await this.#refuseToLoop(subnet);
    const range = SubPool === "" ? subnet : parseSubnet(SubPool);
    if (range.start < subnet.start || range.end > subnet.end) {
      throw new WeaveError("WEAVE_PLUGIN", `the range ${range.text} is not within the subnet ${subnet.text}`);
    }
    return { PoolID: `weave-${subnet.text}-${range.text}`, Pool: subnet.text, Data: {} };
  }

  async requestAddress(call: RequestAddress, signal: AbortSignal): Promise<PluginAnswer> {
    const { requests } = this.#ipam();
    const { subnet, range } = parsePool(call.PoolID);
    if (isGateway(call)) return this.#requestGateway(call.Address, subnet);
    const options = { signal, timeoutMs: WAIT_MS };
    let address: bigint;
    if (call.Address !== "") {
      address = parseAddress(call.Address);
      this.#refuseTaken(address);
      await requests.claim(ANONYMOUS, { address, prefix: subnet.prefix }, options);
      // Two calls at once are the same to IPAM: the first to be here has it.
      this.#refuseTaken(address);
      this.#parts.onAsked?.(address);
    } else {
      address = (await requests.allocate(ANONYMOUS, range, options)).address;
    }
    this.#note(address, "container");
    const text = addressText(address);
    return {
      body: { Address: leaseText({ address, prefix: subnet.prefix }), Data: {} },
      undo: () => this.release(text),
    };
  }

  /**
   * No gateway is made: Docker wants one, and the network's own address will never be a container's (as the original). One
   * that the user names is held as long as the network is there. Each host has the same: another host's does as well.
   */
  #requestGateway(given: string, subnet: Subnet): PluginAnswer {
    if (given === "") return { body: { Address: subnet.text, Data: {} } };
    const address = parseAddress(given);
    const body = { Address: leaseText({ address, prefix: subnet.prefix }), Data: {} };
    if (this.#parts.book.addresses.get(given)?.use === "gateway") return { body };
    this.#refuseTaken(address);
    this.#parts.book.addresses.put(given, { asked: this.#clock.wall(), use: "gateway" });
    void this.#holdGateway(given);
    return { body, undo: () => this.release(given) };
  }

  /** Docker does not wait for it: there may be no ring yet, and another host may hold it for the same network. */
  async #holdGateway(given: string): Promise<void> {
    const address = parseAddress(given);
    try {
      await this.#ipam().requests.claim(ANONYMOUS, { address, prefix: 32 }, { timeoutMs: WAIT_MS });
      // Its network may have been removed while it was waited for.
      if (!this.#parts.book.addresses.has(given)) this.#ipam().requests.free(ANONYMOUS, address);
    } catch (error) {
      this.#parts.log.debug("the gateway's address is not held by this host", {
        address: given,
        why: errorText(error),
      });
    }
  }

  /** An address that is not held (a gateway's, or one given back before) is no error. */
  releaseAddress({ PoolID, Address }: ReleaseAddress): object {
    parsePool(PoolID);
    this.release(addressText(parseAddress(addressOfCidr(Address))));
    return {};
  }

  release(address: string): void {
    if (!this.#parts.book.addresses.has(address)) return;
    try {
      this.#ipam().requests.free(ANONYMOUS, parseAddress(address));
    } catch (error) {
      this.#parts.log.info("an address that Docker gives back was not held", { address, why: errorText(error) });
    }
    this.#parts.book.addresses.remove(address);
  }

  /**
   * What Docker shows of an address of ours: what it is for. One that we do not know (our disk was lost, say) is noted as held,
   * and so is a gateway that another host held before.
   */
  learn({ address, prefix }: Lease, use: Use): void {
    const text = addressText(address);
    const known = this.#parts.book.addresses.get(text);
    if (known?.use !== use) this.#parts.book.addresses.put(text, { asked: known?.asked ?? this.#clock.wall(), use });
    // A gateway is claimed from the peer that has it now: see holdGateways.
    if (use !== "gateway") this.#parts.ipam?.requests.found(text, { address, prefix }, false);
  }

  /** Gateways that another host held, or that no ring was there for: they may be had now. */
  holdGateways(): void {
    for (const [text, { use }] of this.#parts.book.addresses.all)
      if (use === "gateway" && this.#parts.ipam?.requests.holderOf(parseAddress(text)) === undefined)
        void this.#holdGateway(text);
  }

  /** On disk before Docker has the answer; else it is nobody's. @throws WEAVE_STORE */
  #note(address: bigint, use: Use): void {
    try {
      this.#parts.book.addresses.put(addressText(address), { asked: this.#clock.wall(), use });
    } catch (error) {
      this.#ipam().requests.free(ANONYMOUS, address);
      throw error;
    }
  }

  /** IPAM does not tell one address without a container from another, and Docker looks at its own networks alone. */
  #refuseTaken(address: bigint): void {
    const text = addressText(address);
    const use = this.#parts.book.addresses.get(text)?.use;
    const holder = this.#ipam().requests.holderOf(address);
    if (use === undefined && (holder === undefined || holder === text)) return;
    const by = use === undefined ? `by ${this.#parts.describe(holder ?? "")}` : USED_BY[use];
    throw new WeaveError("WEAVE_PLUGIN", `address ${text} already in use on this host, ${by}`, {
      next:
        use === undefined
          ? "'weave ps' shows who has which addresses."
          : "'docker network inspect' shows what the networks' containers have.",
    });
  }

  async #refuseToLoop(subnet: Subnet): Promise<void> {
    const route = await this.#parts.overlappingRoute(subnet.text);
    const now = this.#clock.now();
    this.#asked = [...this.#asked.filter((at) => now - at < LOOP.withinMs), now];
    const looping = this.#asked.length > LOOP.calls;
    if (route === undefined && !looping) return;
    const why =
      route === undefined ? "this host's routes or name servers" : `the route ${route} of this host ('weave expose'?)`;
    throw new WeaveError(
      "WEAVE_PLUGIN",
      `the default subnet ${subnet.text} overlaps ${why}: Docker would not take it`,
      {
        next: `Say which subnet it shall be: 'docker network create --subnet ${subnet.text} …'.`,
      },
    );
  }

  #ipam(): { requests: Requests; defaultSubnet: Subnet } {
    if (this.#parts.ipam !== undefined) return this.#parts.ipam;
    throw new WeaveError("WEAVE_PLUGIN", "IP address allocation is off on this host (--ipalloc-range '')", {
      next: "Launch weave with a range, or use Docker's own IPAM (--driver weave without --ipam-driver).",
    });
  }
}

/** @throws WEAVE_PLUGIN_CALL */
export function parsePool(id: string): { subnet: Subnet; range: Subnet } {
  const match = /^weave-([\d./]{9,18})-([\d./]{9,18})$/.exec(id);
  if (match === null)
    throw new WeaveError("WEAVE_PLUGIN_CALL", `weave has no address pool ${JSON.stringify(id.slice(0, 100))}`);
  return { subnet: parseSubnet(match[1]), range: parseSubnet(match[2]) };
}
