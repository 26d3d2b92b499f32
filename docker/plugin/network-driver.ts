import type { AddressClaims } from "#docker/addresses/address-claims.js";
import { compareVersions } from "#docker/engine/engine.js";
import type { EndpointEntry, NetworkEntry, PluginStore } from "#docker/plugin/plugin-store.js";
import {
  type CreateEndpoint,
  type CreateNetwork,
  type EndpointRef,
  type Join,
  SPACES,
} from "#docker/plugin/protocol.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { contains, overlap } from "#ipam/ring/interval.js";
import { addressText, parseLease, parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import { addressOfCidr, canonicalIpv6, parseCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import { announceAddress } from "#src/linux/links/arp-announcement.js";
import { makeEndpointPair, pairNames, removeEndpointPair } from "#src/linux/links/docker-endpoint.js";
import type { Log } from "#src/log.js";
import { parseMac } from "#src/mac.js";

/** Prefix of an interface's name in a container; Docker appends a number. */
const IFNAME_PREFIX = "ethwe";
const MULTICAST = "224.0.0.0/4";
const MULTICAST_OPTION = "works.weave.multicast";
/** Key of the driver's own options in Docker's calls. */
const GENERIC = "com.docker.network.generic";
/** Option for the interface's name: `--network name=weave,driver-opt=com.docker.network.endpoint.ifname=eth9`. */
const IFNAME_OPTION = "com.docker.network.endpoint.ifname";
/** First API version whose engine applies a driver's interface name (Docker 29). */
const IFNAME_API = "1.52";
/** Limit for the claim of an address: a user of Docker waits for it. */
const CLAIM_MS = 10_000;

export interface NetworkDriverDeps {
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  readonly store: PluginStore;
  /** Undefined when address allocation is off. */
  readonly ipam: { readonly requests: Requests; readonly range: Subnet } | undefined;
  readonly claims: AddressClaims;
  /** Called with the subnets of a network that Docker creates. */
  readonly onCreated: (subnets: readonly string[]) => void;
  /** Whether Docker manages the plugin (V2): its networks are a swarm's. */
  readonly managed: boolean;
  /** Newest API version that the engine offers; undefined while it is unknown. */
  readonly engineApi: () => string | undefined;
  /** Called when a container is connected to a network. */
  readonly onJoin?: (call: Join) => void;
  readonly log: Log;
}

/** Remote network driver of Docker. All its networks are the one overlay; they differ only by their subnets. */
export class NetworkDriver {
  readonly #deps: NetworkDriverDeps;

  constructor(deps: NetworkDriverDeps) {
    this.#deps = deps;
  }

  /** Stores a network that Docker creates. @throws WEAVE_PLUGIN_CALL for an invalid option, and for a swarm's network in our range */
  createNetwork({ NetworkID, Options, IPv4Data }: CreateNetwork): object {
    if (isSwarmNetwork(NetworkID)) for (const { Pool } of IPv4Data) this.#requireOutsideRange(Pool);
    else if (this.#deps.managed)
      this.#deps.log.warn("this network is of this host alone, as the engine is in no swarm", {
        network: NetworkID,
        next: "'docker swarm init', or 'docker swarm join'; then create it again on a manager.",
      });
    this.#deps.store.networks.put(NetworkID, {
      ours: IPv4Data.some(({ AddressSpace }) => isOurSpace(AddressSpace)),
      multicast: multicastOf(genericOptions(Options), this.#deps.log),
      made: systemClock.wall(),
    });
    this.#deps.onCreated(IPv4Data.map(({ Pool }) => Pool));
    return {};
  }

  /** Stores a network that Docker shows, if it is unknown here: the disk was lost, for example. */
  learnNetwork(id: string, ours: boolean, options: Readonly<Record<string, string>>): void {
    if (this.#deps.store.networks.has(id)) return;
    const multicast = multicastOf(options, this.#deps.log);
    this.#deps.store.networks.put(id, { ours, multicast, made: systemClock.wall() });
  }

  /** Stores an endpoint that Docker shows, if it is unknown here, and records its addresses. */
  learnEndpoint(network: string, endpoint: string, { address, address6 }: Addresses): void {
    const { store, ipam, claims } = this.#deps;
    if (store.endpoints.has(endpoint) || (address === "" && address6 === "")) return;
    const claimed = this.#claimedAs(network, address);
    if (claimed === "outside") claims.record(withoutPrefix(address), endpoint);
    if (claimed === "range") ipam?.requests.found(holderOf(endpoint), parseLease(address), false);
    if (address6 !== "" && !isSwarmNetwork(network)) claims.record(withoutPrefix6(address6), endpoint);
    store.endpoints.put(endpoint, { network, address, address6, claimed, made: systemClock.wall() });
  }

  deleteNetwork({ NetworkID }: { NetworkID: string }): object {
    this.#deps.store.networks.remove(NetworkID);
    return {};
  }

  /** Claims the addresses and creates the pair of interfaces. @throws WEAVE_PLUGIN and others; then both are undone */
  async createEndpoint(
    { NetworkID, EndpointID, Interface, Options }: CreateEndpoint,
    signal: AbortSignal,
  ): Promise<object> {
    this.#network(NetworkID);
    const addresses = { address: Interface?.Address ?? "", address6: Interface?.AddressIPv6 ?? "" };
    const given = Interface?.MacAddress ?? "";
    const mac = given || macOf(addresses.address);
    const ifname = ifnameOf(Options);
    const claimed = await this.#claim(NetworkID, EndpointID, addresses, signal);
    const entry: EndpointEntry = {
      network: NetworkID,
      ...addresses,
      claimed,
      made: systemClock.wall(),
      ...(mac === undefined ? {} : { mac }),
      ...(ifname === undefined ? {} : { ifname }),
    };
    try {
      this.#deps.store.endpoints.put(EndpointID, entry);
      await makeEndpointPair(EndpointID, this.#deps, mac);
    } catch (error) {
      this.#forget(EndpointID, entry);
      throw error;
    }
    const body = { Interface: given === "" && mac !== undefined ? { MacAddress: mac } : {} };
    return { body, undo: () => void this.deleteEndpoint({ NetworkID, EndpointID }) };
  }

  /** Deletes an endpoint. One that does not exist is no error: otherwise Docker could never delete it. */
  deleteEndpoint({ EndpointID }: EndpointRef): object {
    // In the background, because the kernel is slow. A next endpoint is not affected: its interfaces have other names.
    removeEndpointPair(EndpointID).catch((error) =>
      this.#deps.log.warn("an interface was not removed", { endpoint: EndpointID, why: errorText(error) }),
    );
    const entry = this.#deps.store.endpoints.get(EndpointID);
    if (entry !== undefined) this.#forget(EndpointID, entry);
    return {};
  }

  /** Returns the interface that Docker moves into the container. It has no gateway: Docker adds its own, except for `--internal` networks. */
  join(call: Join): object {
    const { NetworkID, EndpointID } = call;
    const network = this.#network(NetworkID);
    const endpoint = this.#deps.store.endpoints.get(EndpointID);
    if (endpoint === undefined) {
      throw new WeaveError("WEAVE_PLUGIN_CALL", `weave has no endpoint ${EndpointID}: it was not created`, {
        next: "Start the container again.",
      });
    }
    const routes = network.multicast ? [{ Destination: MULTICAST, RouteType: 1, NextHop: "" }] : [];
    this.#announce(endpoint);
    const { ifname } = endpoint;
    if (ifname !== undefined) this.#checkNaming(ifname);
    this.#deps.onJoin?.(call);
    return {
      InterfaceName: {
        SrcName: pairNames(EndpointID).inside,
        DstPrefix: IFNAME_PREFIX,
        ...(ifname === undefined ? {} : { DstName: ifname }),
      },
      StaticRoutes: routes,
    };
  }

  #network(id: string): NetworkEntry {
    const network = this.#deps.store.networks.get(id);
    if (network !== undefined) return network;
    throw new WeaveError(
      "WEAVE_PLUGIN_CALL",
      `weave has no network ${id}: it was not created, or 'weave reset' removed it`,
      {
        next: "Remove it with 'docker network rm', and create it again.",
      },
    );
  }

  /**
   * Announces the endpoint's address, which another container with another MAC may have had until now. It is announced before Docker starts
   * the container, so that replies to its first packets arrive. Docker before version 28 announces nothing itself.
   */
  #announce({ address, mac }: EndpointEntry): void {
    if (address === "" || mac === undefined) return;
    try {
      announceAddress(this.#deps.bridge, withoutPrefix(address), parseMac(mac));
    } catch (error) {
      this.#deps.log.info("an address was not announced", { address, why: errorText(error) });
    }
  }

  /** Logs a warning if the engine ignores an interface's name, as Docker before 29 does without an error. */
  #checkNaming(ifname: string): void {
    const api = this.#deps.engineApi();
    if (api !== undefined && compareVersions(api, IFNAME_API) >= 0) return;
    this.#deps.log.warn("this Docker engine names the interface itself: the requested name has no effect", {
      option: IFNAME_OPTION,
      name: ifname,
      api: api ?? "unknown",
      needed: IFNAME_API,
    });
  }

  /** Claims the addresses that Docker's own IPAM chose, which other hosts may have. @throws WEAVE_PLUGIN and errors of IPAM; then none is claimed */
  async #claim(
    network: string,
    endpoint: string,
    { address, address6 }: Addresses,
    signal: AbortSignal,
  ): Promise<EndpointEntry["claimed"]> {
    const { ipam, claims } = this.#deps;
    const claimed = this.#claimedAs(network, address);
    const outside = [
      claimed === "outside" ? withoutPrefix(address) : "",
      address6 === "" || isSwarmNetwork(network) ? "" : withoutPrefix6(address6),
    ].filter((each) => each !== "");
    if (claimed === "range")
      await ipam?.requests.claim(holderOf(endpoint), parseLease(address), { signal, timeoutMs: CLAIM_MS });
    try {
      await claims.claim(outside, endpoint);
    } catch (error) {
      if (claimed === "range") ipam?.requests.freeAll(holderOf(endpoint));
      throw error;
    }
    return claimed;
  }

  /**
   * Checks the subnet of a swarm's network: the swarm and IPAM do not know each other's addresses.
   *
   * @throws WEAVE_PLUGIN_CALL when it overlaps the range that IPAM allocates from
   */
  #requireOutsideRange(pool: string): void {
    const { ipam } = this.#deps;
    if (ipam === undefined || pool === "") return;
    const subnet = parseSubnet(pool);
    if (overlap(ipam.range, subnet) === undefined) return;
    throw new WeaveError(
      "WEAVE_PLUGIN_CALL",
      `${subnet.text} overlaps ${ipam.range.text}, from which weave allocates`,
      {
        next: "Create the network with another --subnet, or set another IPALLOC_RANGE of the plugin, on all nodes.",
      },
    );
  }

  /**
   * Decides where an IPv4 address is claimed: nowhere if our IPAM driver or a swarm allocated it, in IPAM if it is in the range, otherwise
   * as an address claim.
   */
  #claimedAs(network: string, cidr: string): EndpointEntry["claimed"] {
    const { ipam, store } = this.#deps;
    if (cidr === "" || store.networks.get(network)?.ours || isSwarmNetwork(network)) return "no";
    return ipam !== undefined && contains(ipam.range, parseLease(cidr).address) ? "range" : "outside";
  }

  #forget(endpoint: string, { address, address6 = "", claimed }: EndpointEntry): void {
    const { store, ipam, claims } = this.#deps;
    store.endpoints.remove(endpoint);
    if (claimed === "range") ipam?.requests.freeAll(holderOf(endpoint));
    if (claimed === "outside") claims.release(withoutPrefix(address), endpoint);
    if (address6 !== "") claims.release(withoutPrefix6(address6), endpoint);
  }
}

/** Addresses that Docker has chosen for an endpoint, in CIDR notation; "" for none. */
interface Addresses {
  readonly address: string;
  readonly address6: string;
}

/** An IPv4 address without its prefix length. */
const withoutPrefix = (cidr: string): string => addressText(parseLease(cidr).address);

/** An IPv6 address without its prefix length, in canonical form (RFC 5952). @throws WEAVE_ADDRESS_INVALID */
function withoutPrefix6(cidr: string): string {
  const text = canonicalIpv6(addressOfCidr(cidr));
  if (text !== undefined) return text;
  throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid IPv6 address: ${JSON.stringify(cidr.slice(0, 64))}`);
}

/** Holder of an endpoint's addresses in IPAM. The prefix distinguishes it from a container's id. */
const holderOf = (endpoint: string): string => `endpoint:${endpoint}`;

/**
 * Whether a network is a swarm's: such ids have 25 letters and digits, those of other networks 64 hexadecimal digits. A swarm's managers
 * agree on the addresses of all nodes. A claim of ours would only reject the address of a task that moves.
 */
export const isSwarmNetwork = (id: string): boolean => /^[0-9a-z]{25}$/.test(id);

/** Whether an address space is of our IPAM driver. */
const isOurSpace = (space: string): boolean => (Object.values(SPACES) as string[]).includes(space);

function genericOptions(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const generic = options[GENERIC];
  return typeof generic === "object" && generic !== null ? (generic as Record<string, unknown>) : {};
}

/** Reads the name that the user chose for the interface; undefined if none. @throws WEAVE_PLUGIN_CALL for an invalid one */
function ifnameOf(options: Readonly<Record<string, unknown>>): string | undefined {
  const value = options[IFNAME_OPTION] ?? genericOptions(options)[IFNAME_OPTION];
  if (value === undefined || value === "") return undefined;
  // IFNAMSIZ, and the names that the kernel rejects (net/core/dev.c, dev_valid_name).
  if (typeof value === "string" && /^[^\s/:]{1,15}$/.test(value) && value !== "." && value !== "..") return value;
  throw new WeaveError(
    "WEAVE_PLUGIN_CALL",
    `${IFNAME_OPTION}: ${JSON.stringify(value).slice(0, 64)} cannot be the name of an interface`,
    { next: "Give up to 15 characters without spaces, '/' and ':'." },
  );
}

/**
 * Reads the option for multicast: off if it is missing, on if it is empty, otherwise a boolean in Go's forms. Unknown options are logged.
 *
 * @throws WEAVE_PLUGIN_CALL, with Weave Net's message
 */
export function multicastOf(options: Readonly<Record<string, unknown>>, log: Log): boolean {
  for (const name of Object.keys(options))
    if (name !== MULTICAST_OPTION) log.warn("an unknown option of a network has no effect", { option: name });
  const value = options[MULTICAST_OPTION];
  if (value === undefined) return false;
  const text = String(value);
  if (["", "1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new WeaveError(
    "WEAVE_PLUGIN_CALL",
    `unrecognized value ${JSON.stringify(text)} for option ${MULTICAST_OPTION}`,
  );
}

/**
 * Derives a MAC from an IPv4 address, so that ARP caches stay valid when another container gets the address. The prefix 0a:57 is locally
 * administered, and not Docker's own (02:42).
 *
 * @returns undefined without an address; then the kernel chooses
 */
export function macOf(cidr: string): string | undefined {
  if (cidr === "") return undefined;
  const octets = parseCidr(cidr)
    .address.split(".")
    .map((octet) => Number(octet).toString(16).padStart(2, "0"));
  return `0a:57:${octets.join(":")}`;
}
