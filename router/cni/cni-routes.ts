import { CniError } from "#router/cni/cni-error.js";
import { type CniRoute, isIpv6Cidr } from "#router/cni/cni-result.js";
import { canonicalIpv6, inSubnets, isIpv4, parseCidr } from "#src/address.js";
import type { ContainerRoute } from "#src/linux/netns/cni-interface.js";

const DEFAULT_ROUTE = { 4: "0.0.0.0/0", 6: "::/0" } as const;

/** Destinations of default routes. */
export const DEFAULT_DESTINATIONS: readonly string[] = Object.values(DEFAULT_ROUTE);

export interface RoutesRequest {
  /** Addresses of the interface, in CIDR notation. */
  readonly addresses: readonly string[];
  /** Routes of configuration or delegated plugin; undefined: a default route by the gateway. */
  readonly routes: readonly CniRoute[] | undefined;
  /** Next hops: of the default route, and of routes without one. At most one of each family. */
  readonly gateways: readonly string[];
}

/** The routes of an interface: as the result has them, and as they are set. */
export interface PlannedRoutes {
  readonly routes: readonly CniRoute[];
  readonly commands: readonly ContainerRoute[];
}

/**
 * Plans the routes of an interface. Without any in the request, there is a default route by each gateway. A next hop outside of the
 * interface's subnets gets a route of its own.
 *
 * @throws CniError 7 for a route that is not valid
 */
export function planRoutes({ addresses, routes: given, gateways }: RoutesRequest): PlannedRoutes {
  for (const gateway of gateways) checkAddress(gateway, "gateway");
  const routes =
    given?.map((route) => ({
      ...route,
      gw: route.gw ?? gateways.find((each) => familyOf(each) === familyOf(route.dst)),
    })) ?? gateways.map((gw): CniRoute => ({ dst: DEFAULT_ROUTE[familyOf(gw)], gw }));
  const unique = [...new Map(routes.map((route) => [JSON.stringify(route), route])).values()];
  for (const { dst, gw } of unique) {
    checkNetwork(dst);
    if (gw !== undefined) checkAddress(gw, "next hop");
  }
  const ours = addresses.filter((cidr) => familyOf(cidr) === 4).map(parseCidr);
  const hops = new Set(
    unique.flatMap(({ gw }) => (gw !== undefined && isIpv4(gw) && !inSubnets(gw, ours) ? [gw] : [])),
  );
  return {
    routes: unique,
    commands: [...[...hops].map((hop) => ({ dst: `${hop}/32` })), ...unique.map(commandOf)],
  };
}

function commandOf({ dst, gw, mtu, advmss, priority, table, scope }: CniRoute): ContainerRoute {
  const words = Object.entries({ mtu, advmss, metric: priority, table, scope }).filter(
    ([, value]) => value !== undefined,
  );
  return { dst, gw, options: words.map(([word, value]) => ` ${word} ${value}`).join("") };
}

const familyOf = (text: string): 4 | 6 => (text.includes(":") ? 6 : 4);

function checkNetwork(text: string): void {
  const [address, prefix = ""] = text.split("/");
  const valid =
    familyOf(text) === 4
      ? isIpv4(address) &&
        /^\d{1,2}$/.test(prefix) &&
        Number(prefix) <= 32 &&
        parseCidr(text).subnet === `${address}/${Number(prefix)}`
      : isIpv6Cidr(text);
  if (!valid)
    throw new CniError("invalidConfiguration", `${JSON.stringify(text.slice(0, 64))} is no destination of a route`, {
      next: 'A route is {"dst": "10.0.0.0/8", "gw": "10.32.0.1"}; host bits of "dst" are zero, "gw" may be left out.',
    });
}

function checkAddress(text: string, what: string): void {
  if (isIpv4(text) || canonicalIpv6(text) !== undefined) return;
  throw new CniError("invalidConfiguration", `${JSON.stringify(text.slice(0, 64))} is no address of a ${what}`);
}
