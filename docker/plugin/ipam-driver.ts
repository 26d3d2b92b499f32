import { type Book, FRESH_MS } from "#docker/plugin/book.js";
import { isGateway, type ReleaseAddress, type RequestAddress, type RequestPool } from "#docker/plugin/protocol.js";
import type { PluginAnswer } from "#docker/plugin/socket.js";
import { ANONYMOUS, type Requests } from "#ipam/requests.js";
import { addressText, leaseText, parseAddress, parseSubnet, type Subnet } from "#ipam/subnet.js";
import { type Clock, systemClock } from "#src/clock.js";
import { textOf, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** A wait for space or for a first ring has an end: Docker holds locks meanwhile. */
const WAIT_MS = 15_000;
/**
 * libnetwork asks again, at once and for ever, while the pool it got for "any" overlaps a route or a name server of the host.
 * People do not create this many networks in this time.
 */
const LOOP = { calls: 8, withinMs: 2_000 };

export interface IpamDriverParts {
  /** Undefined where IPAM is off. */
  readonly ipam: { readonly requests: Requests; readonly defaultSubnet: Subnet } | undefined;
  readonly book: Book;
  /** A route of the host that overlaps a network; undefined where there is none. */
  readonly overlappingRoute: (cidr: string) => Promise<string | undefined>;
  readonly clock?: Clock;
  readonly log: Log;
}

/** Docker's remote IPAM driver: pools are subnets of our range, and carry all that they are in their ids. */
export class IpamDriver {
  readonly #parts: IpamDriverParts;
  readonly #clock: Clock;
  #asked: number[] = [];

  constructor(parts: IpamDriverParts) {
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
    if (isGateway(call)) {
      // No gateway is made: Docker wants one, and the network's own address will never be a container's (as the original).
      return { body: { Address: call.Address === "" ? subnet.text : `${call.Address}/${subnet.prefix}`, Data: {} } };
    }
    const options = { signal, timeoutMs: WAIT_MS };
    let address: bigint;
    if (call.Address !== "") {
      address = parseAddress(call.Address);
      this.#refuseTaken(call.Address);
      await requests.claim(ANONYMOUS, { address, prefix: subnet.prefix }, options);
    } else {
      address = (await requests.allocate(ANONYMOUS, range, options)).address;
    }
    const text = addressText(address);
    const undo = () => {
      this.#parts.book.addresses.remove(text);
      requests.free(ANONYMOUS, address);
    };
    try {
      this.#parts.book.addresses.put(text, this.#clock.wall());
    } catch (error) {
      undo();
      throw error;
    }
    return { body: { Address: leaseText({ address, prefix: subnet.prefix }), Data: {} }, undo };
  }

  /** An address that is not held (a gateway's, or one given back before) is no error. */
  releaseAddress({ PoolID, Address }: ReleaseAddress): object {
    parsePool(PoolID);
    this.release(addressText(parseAddress(Address.split("/")[0])));
    return {};
  }

  release(address: string): void {
    if (!this.#parts.book.addresses.has(address)) return;
    try {
      this.#ipam().requests.free(ANONYMOUS, parseAddress(address));
    } catch (error) {
      this.#parts.log.info("an address that Docker gives back was not held", { address, why: textOf(error) });
    }
    this.#parts.book.addresses.remove(address);
  }

  /** IPAM does not tell one endpoint from another. What Docker has asked for and made nothing of may be had again. */
  #refuseTaken(address: string): void {
    const { book } = this.#parts;
    const asked = book.addresses.get(address);
    if (asked === undefined) return;
    const fresh = this.#clock.wall() - asked < FRESH_MS;
    if (fresh || book.usedAddresses.has(address)) {
      throw new WeaveError("WEAVE_PLUGIN", `address ${address} already in use on this host`, {
        next: `'docker network inspect' shows by which container.`,
      });
    }
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
