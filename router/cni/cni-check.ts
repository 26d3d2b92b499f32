import { EVERYTHING, leaseText } from "#ipam/ring/subnet.js";
import type { AttachmentIpam } from "#router/attachments/leases.js";
import type { CniCall } from "#router/cni/cni-call.js";
import type { CniConfiguration } from "#router/cni/cni-configuration.js";
import { CniError } from "#router/cni/cni-error.js";
import { type CniIp, type CniResult, type CniRoute, isIpv6Text } from "#router/cni/cni-result.js";
import { DEFAULT_DESTINATIONS } from "#router/cni/cni-routes.js";
import { parseCidr } from "#src/address.js";
import type { Link } from "#src/linux/links/links.js";
import type { CniInterfaceState } from "#src/linux/netns/cni-interface.js";

export interface CniCheck {
  readonly call: CniCall;
  readonly configuration: CniConfiguration;
  /** The result of the ADD, as the runtime has kept it. */
  readonly previous: CniResult;
  readonly bridge: string;
}

/**
 * Compares an attachment with the result of its ADD. Later plugins may have added addresses and routes.
 *
 * @throws CniError 101 naming the first difference
 */
export function checkInterface({ call, configuration, previous, bridge }: CniCheck, state: CniInterfaceState): void {
  const { ifname } = call;
  const { inside, outside } = state;
  if (inside === undefined) throw differs(`the container has no interface ${ifname}`);
  if (outside === undefined)
    throw differs(`the host end of ${ifname} is missing: another plugin has made the interface`);
  for (const end of [inside, outside]) if (!end.flags.includes("UP")) throw differs(`${end.ifname} is down`);
  if (outside.master !== bridge) throw differs(`${outside.ifname} is not on the bridge ${bridge}`);
  const index = previous.interfaces.findIndex(({ name, sandbox }) => name === ifname && sandbox !== undefined);
  if (index < 0) throw differs(`"prevResult" has no interface ${ifname} with a sandbox`);
  const { mac } = previous.interfaces[index];
  if (mac !== undefined && mac.toLowerCase() !== inside.address)
    throw differs(`${ifname} has the MAC ${inside.address} instead of ${mac}`);
  const own = previous.ips.filter((ip) => ip.interface === index);
  for (const { address } of own)
    if (!hasAddress(inside, address)) throw differs(`${ifname} does not have the address ${address}`);
  const expected = previous.routes.filter((route) => isOwnRoute(route, configuration, own));
  for (const { dst } of expected)
    if (!state.destinations.some((each) => isSameNetwork(each, dst))) throw differs(`the route to ${dst} is missing`);
}

/** Checks that the addresses of a result belong to a holder. @throws CniError 101 */
export function checkLeases(previous: CniResult, ident: string, ipam: AttachmentIpam | undefined): void {
  if (ipam === undefined) return;
  const held = ipam.requests.lookup(ident, EVERYTHING).map(leaseText);
  const own = previous.ips.map(({ address }) => address).filter((address) => !isIpv6Text(address));
  // A result has addresses of other plugins in the list too.
  if (own.length > 0 && !own.some((address) => held.includes(address)))
    throw differs(`none of ${own.join(", ").slice(0, 200)} is allocated to this container`);
  const lost = held.find((cidr) => !own.includes(cidr));
  if (lost !== undefined) throw differs(`"prevResult" does not have ${lost}, which is allocated to this container`);
}

function hasAddress({ addr_info = [] }: Link, cidr: string): boolean {
  const [address, prefix] = cidr.split("/");
  return addr_info.some(({ local, prefixlen }) => local === address && prefixlen === Number(prefix));
}

/** Whether weave made a route: of its configuration, or the default route by its gateway. Other plugins make others. */
function isOwnRoute({ dst, gw }: CniRoute, { ipam }: CniConfiguration, own: readonly CniIp[]): boolean {
  if (ipam.routes) return ipam.routes.some((route) => route.dst === dst);
  return DEFAULT_DESTINATIONS.includes(dst) && own.some(({ gateway }) => gateway !== undefined && gateway === gw);
}

/** Compares a destination of `ip` with one of a result: `ip` prints `default`, and no prefix length for a single address. */
function isSameNetwork(printed: string, dst: string): boolean {
  if (printed === "default") return DEFAULT_DESTINATIONS.includes(dst);
  if (isIpv6Text(dst)) return printed === dst;
  return !isIpv6Text(printed) && (printed.includes("/") ? printed : `${printed}/32`) === parseCidr(dst).subnet;
}

const differs = (what: string): CniError =>
  new CniError("checkFailed", `the container is not attached as it was: ${what}`, {
    next: "The runtime makes the container again; 'weave status' shows problems of this host.",
  });
