import { addressOfCidr, type Cidr, inSubnets, parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import { run } from "#src/linux/exec.js";

/** A route: the used fields of the output of `ip -json route show`. */
interface Route {
  readonly dst?: string;
  readonly dev?: string;
  readonly gateway?: string;
  /** The host's own address in the network. */
  readonly prefsrc?: string;
  readonly nexthops?: readonly { readonly gateway?: string; readonly dev?: string }[];
}

/** Routes of IPv4: others cannot overlap networks of the overlay (src/address.ts). */
const listRoutes = async (): Promise<Route[]> =>
  JSON.parse((await run("ip", ["-json", "-4", "route", "show"])) || "[]") as Route[];

/** Returns the networks that are routed to an interface, as `a.b.c.d/n`. */
export async function networksAt(device: string): Promise<string[]> {
  const routes = JSON.parse((await run("ip", ["-json", "-4", "route", "show", "dev", device])) || "[]") as Route[];
  return routes.map(networkOf).flatMap((network) => (network === undefined ? [] : [network.subnet]));
}

/** Returns the network of a route; undefined for the default route. */
function networkOf({ dst = "default" }: Route): Cidr | undefined {
  if (dst === "default") return undefined;
  return parseCidr(dst.includes("/") ? dst : `${dst}/32`);
}

/**
 * Finds a route of this host whose network overlaps `network`, as `a.b.c.d/n`; undefined if there is none. Routes of `bridge`
 * and the default route do not count. Two networks overlap if one contains the first address of the other.
 */
export async function overlappingRoute(network: string, bridge: string): Promise<string | undefined> {
  const ours = parseCidr(network);
  for (const route of await listRoutes()) {
    const theirs = networkOf(route);
    if (theirs === undefined || route.dev === bridge) continue;
    if (inSubnets(addressOfCidr(theirs.subnet), [ours]) || inSubnets(addressOfCidr(ours.subnet), [theirs]))
      return theirs.text;
  }
  return undefined;
}

/** No real network has a shorter prefix, and two networks of length 1 would replace the default route. */
const SHORTEST_PREFIX = 8;

/**
 * Checks that an address on `bridge` keeps this host's connectivity: its network must not capture packets to the host's
 * gateways, own addresses or `hosts`, which use other interfaces. Routes with a longer prefix are not affected.
 *
 * @param hosts IPv4 addresses of other hosts that must stay reachable
 * @throws WEAVE_ADDRESS_INVALID if the network would capture one of these
 */
export async function checkKeepsRoutes(cidr: Cidr, bridge: string, hosts: readonly string[]): Promise<void> {
  const refuse = (why: string) =>
    new WeaveError("WEAVE_ADDRESS_INVALID", `${cidr.text} cannot be given to the host: ${why}`, {
      next: "Choose a network that nothing else on this host uses, such as one of the range of 'weave status ipam'.",
    });
  if (cidr.prefix < SHORTEST_PREFIX)
    throw refuse(`a prefix shorter than /${SHORTEST_PREFIX} would replace the default route`);
  const routes = (await listRoutes()).filter(({ dev }) => dev !== bridge);
  const taken = (address: string) =>
    inSubnets(address, [cidr]) &&
    routes.every((route) => {
      const theirs = networkOf(route);
      return theirs === undefined || theirs.prefix <= cidr.prefix || !inSubnets(address, [theirs]);
    });
  for (const { dst = "default", prefsrc, gateway, nexthops = [] } of routes) {
    for (const router of [gateway, ...nexthops.map((hop) => hop.gateway)])
      if (router !== undefined && taken(router))
        throw refuse(
          `it contains ${router}, the gateway of the route to ${dst === "default" ? "everywhere (default)" : dst}`,
        );
    if (prefsrc !== undefined && taken(prefsrc))
      throw refuse(`it contains ${prefsrc}, an address of this host in ${dst}`);
  }
  const host = hosts.find(taken);
  if (host !== undefined) throw refuse(`it contains ${host}, where this host reaches another peer`);
}
