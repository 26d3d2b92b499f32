import type { Claims } from "#docker/claims.js";
import type { Book, NetworkEntry } from "#docker/plugin/book.js";
import { type CreateEndpoint, type CreateNetwork, type EndpointRef, SPACES } from "#docker/plugin/protocol.js";
import { contains } from "#ipam/interval.js";
import type { Requests } from "#ipam/requests.js";
import { addressText, parseLease, type Subnet } from "#ipam/subnet.js";
import { parseCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { textOf, WeaveError } from "#src/errors.js";
import { makeEndpointPair, pairNames, removeEndpointPair } from "#src/host/endpoint.js";
import type { Log } from "#src/log.js";

/** Interfaces in containers are called this and a number. */
const PREFIX = "ethwe";
const MULTICAST = "224.0.0.0/4";
const MULTICAST_OPTION = "works.weave.multicast";
const GENERIC = "com.docker.network.generic";
/** How long an address may take to be claimed: Docker's users wait for it. */
const CLAIM_MS = 10_000;

export interface NetworkDriverParts {
  readonly bridge: string;
  /** Of the bridge, in bytes. */
  readonly mtu: number;
  readonly book: Book;
  /** Undefined where IPAM is off. */
  readonly ipam: { readonly requests: Requests; readonly range: Subnet } | undefined;
  readonly claims: Claims;
  readonly log: Log;
}

/** Docker's remote network driver: every network is the one Ethernet, and differs from the others by its subnet. */
export class NetworkDriver {
  readonly #parts: NetworkDriverParts;

  constructor(parts: NetworkDriverParts) {
    this.#parts = parts;
  }

  /** @throws WEAVE_PLUGIN_CALL for an option that cannot be */
  createNetwork({ NetworkID, Options, IPv4Data }: CreateNetwork): object {
    this.#parts.book.networks.put(NetworkID, {
      ours: IPv4Data.some(({ AddressSpace }) => isOurSpace(AddressSpace)),
      multicast: multicastOf(genericOptions(Options), this.#parts.log),
      made: systemClock.wall(),
    });
    return {};
  }

  /** What Docker shows of a network that we do not know: our disk was lost, say. */
  learnNetwork(id: string, ours: boolean, options: Readonly<Record<string, string>>): void {
    if (this.#parts.book.networks.has(id)) return;
    const multicast = multicastOf(options, this.#parts.log);
    this.#parts.book.networks.put(id, { ours, multicast, made: systemClock.wall() });
  }

  /** As {@link learnNetwork}, an endpoint: what it holds is noted as held, so that nobody else gets it. */
  learnEndpoint(network: string, endpoint: string, cidr: string): void {
    const { book, ipam, claims } = this.#parts;
    if (book.endpoints.has(endpoint) || cidr === "") return;
    const lease = parseLease(cidr);
    const ours = book.networks.get(network)?.ours ?? false;
    const address = addressText(lease.address);
    const claimed = ours ? "no" : this.#claimedAs(lease.address);
    if (claimed === "outside") claims.found(address, endpoint);
    else ipam?.requests.found(ours ? address : holderOf(endpoint), lease, false);
    if (ours) book.addresses.put(address, systemClock.wall());
    book.endpoints.put(endpoint, { network, address: cidr, claimed, made: systemClock.wall() });
  }

  deleteNetwork({ NetworkID }: { NetworkID: string }): object {
    this.#parts.book.networks.remove(NetworkID);
    return {};
  }

  /** Makes the pair of interfaces. @throws WEAVE_PLUGIN; then nothing is left of it */
  async createEndpoint({ NetworkID, EndpointID, Interface }: CreateEndpoint, signal: AbortSignal): Promise<object> {
    const network = this.#network(NetworkID);
    const address = Interface?.Address ?? "";
    const given = Interface?.MacAddress ?? "";
    const mac = given || macOf(address);
    const claimed = network.ours || address === "" ? "no" : await this.#claim(address, EndpointID, signal);
    try {
      this.#parts.book.endpoints.put(EndpointID, { network: NetworkID, address, claimed, made: systemClock.wall() });
      await makeEndpointPair(EndpointID, this.#parts, mac);
    } catch (error) {
      this.#forget(EndpointID, address, claimed);
      throw error;
    }
    const body = { Interface: given === "" && mac !== undefined ? { MacAddress: mac } : {} };
    return { body, undo: () => void this.deleteEndpoint({ NetworkID, EndpointID }) };
  }

  /** One that is not there is as good as deleted: Docker could not be rid of it otherwise. */
  deleteEndpoint({ EndpointID }: EndpointRef): object {
    // The kernel takes its time, and nobody needs to wait: the name is not used again, and the address has the same MAC.
    removeEndpointPair(EndpointID).catch((error) =>
      this.#parts.log.warn("an interface was not removed", { endpoint: EndpointID, why: textOf(error) }),
    );
    const entry = this.#parts.book.endpoints.get(EndpointID);
    if (entry !== undefined) this.#forget(EndpointID, entry.address, entry.claimed);
    return {};
  }

  /** What Docker is to move into the container. It gives no gateway: Docker adds its own way out, unless `--internal`. */
  join({ NetworkID, EndpointID }: EndpointRef): object {
    const network = this.#network(NetworkID);
    if (!this.#parts.book.endpoints.has(EndpointID)) {
      throw new WeaveError("WEAVE_PLUGIN_CALL", `weave has no endpoint ${EndpointID}: it was not created`, {
        next: "Start the container again.",
      });
    }
    const routes = network.multicast ? [{ Destination: MULTICAST, RouteType: 1, NextHop: "" }] : [];
    return {
      InterfaceName: { SrcName: pairNames(EndpointID).inside, DstPrefix: PREFIX },
      StaticRoutes: routes,
    };
  }

  #network(id: string): NetworkEntry {
    const network = this.#parts.book.networks.get(id);
    if (network !== undefined) return network;
    throw new WeaveError(
      "WEAVE_PLUGIN_CALL",
      `weave has no network ${id}: it was not created, or before 'weave reset'`,
      {
        next: "Remove it with 'docker network rm', and create it again.",
      },
    );
  }

  /** Docker's own IPAM chose it, and knows nothing of other hosts. */
  async #claim(cidr: string, endpoint: string, signal: AbortSignal): Promise<"range" | "outside"> {
    const lease = parseLease(parseCidr(cidr).text);
    const { ipam, claims } = this.#parts;
    const as = this.#claimedAs(lease.address);
    if (as === "outside") await claims.claim(addressText(lease.address), endpoint);
    else await ipam?.requests.claim(holderOf(endpoint), lease, { signal, timeoutMs: CLAIM_MS });
    return as;
  }

  /** In our range IPAM knows every holder; outside of it the claims do. */
  #claimedAs(address: bigint): "range" | "outside" {
    const { ipam } = this.#parts;
    return ipam !== undefined && contains(ipam.range, address) ? "range" : "outside";
  }

  #forget(endpoint: string, address: string, claimed: "no" | "range" | "outside"): void {
    this.#parts.book.endpoints.remove(endpoint);
    if (claimed === "range") this.#parts.ipam?.requests.freeAll(holderOf(endpoint));
    if (claimed === "outside") this.#parts.claims.release(address.split("/")[0], endpoint);
  }
}

/** Under which IPAM knows an endpoint: its bare id could be taken for a container's. */
const holderOf = (endpoint: string): string => `endpoint:${endpoint}`;

export const isOurSpace = (space: string): boolean => (Object.values(SPACES) as string[]).includes(space);

function genericOptions(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const generic = options[GENERIC];
  return typeof generic === "object" && generic !== null ? (generic as Record<string, unknown>) : {};
}

/** Absent: off; empty: on; else a boolean as Go reads them. @throws WEAVE_PLUGIN_CALL, in the original's words */
export function multicastOf(options: Readonly<Record<string, unknown>>, log: Log): boolean {
  for (const name of Object.keys(options))
    if (name !== MULTICAST_OPTION) log.warn("an option of a network is not ours, and has no effect", { option: name });
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
 * A MAC that follows from the address: whoever gets the address next has the same one, so that nobody's ARP cache is
 * ever wrong. Locally administered, and not of Docker's own (02:42). Undefined without an IPv4 address: the kernel chooses.
 */
export function macOf(cidr: string): string | undefined {
  if (cidr === "") return undefined;
  const octets = parseCidr(cidr)
    .address.split(".")
    .map((octet) => Number(octet).toString(16).padStart(2, "0"));
  return `0a:57:${octets.join(":")}`;
}
