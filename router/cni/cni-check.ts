import { EVERYTHING, leaseText } from "#ipam/ring/subnet.js";
import type { AttachmentIpam } from "#router/attachments/leases.js";
import type { CniCall } from "#router/cni/cni-call.js";
import type { CniConfiguration } from "#router/cni/cni-configuration.js";
import { CniError } from "#router/cni/cni-error.js";
import { type CniResult, isIpv6Text } from "#router/cni/cni-result.js";
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
  for (const address of addressesAt(previous, index))
    if (!hasAddress(inside, address)) throw differs(`${ifname} does not have the address ${address}`);
  checkRoutes(configuration, previous, state);
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

function addressesAt({ ips }: CniResult, index: number): readonly string[] {
  return ips.filter((ip) => ip.interface === index).map(({ address }) => address);
}

function hasAddress({ addr_info = [] }: Link, cidr: string): boolean {
  const [address, prefix] = cidr.split("/");
  return addr_info.some(({ local, prefixlen }) => local === address && prefixlen === Number(prefix));
}

/** Checks the routes that the configuration has: those of later plugins may use other interfaces. */
function checkRoutes({ ipam }: CniConfiguration, { routes }: CniResult, { destinations }: CniInterfaceState): void {
  const ours = ipam.routes?.map(({ dst }) => dst) ?? ["0.0.0.0/0", "::/0"];
  for (const { dst } of routes.filter((route) => ours.includes(route.dst)))
    if (!destinations.some((each) => isSameNetwork(each, dst))) throw differs(`the route to ${dst} is missing`);
}

/** Compares a destination of `ip` with one of a result: `ip` prints `default`, and no prefix length for a single address. */
function isSameNetwork(printed: string, dst: string): boolean {
  if (printed === "default") return dst === "0.0.0.0/0" || dst === "::/0";
  if (isIpv6Text(dst)) return printed === dst;
  return !isIpv6Text(printed) && (printed.includes("/") ? printed : `${printed}/32`) === parseCidr(dst).subnet;
}

const differs = (what: string): CniError =>
  new CniError("checkFailed", `the container is not attached as it was: ${what}`, {
    next: "The runtime makes the container again; 'weave status' shows problems of this host.",
  });
