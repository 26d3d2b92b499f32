import { WeaveError } from "#src/errors.js";
import { CommandError, run } from "#src/linux/exec.js";
import { portSysctls, writeSysctl } from "#src/linux/links/bridge.js";
import { addressCommands, findLink, ipBatch, type Link } from "#src/linux/links/links.js";
import { SUPER_FRAME_LIMIT } from "#src/linux/links/super-frame-limit.js";
import { cniAlias, cniHostIfname } from "#src/linux/netns/cni-ident.js";
import type { Netns } from "#src/linux/netns/netns.js";
import { arpSettingsScript } from "#src/linux/netns/veth.js";

/** A route in a container, as words of `ip route`. */
export interface ContainerRoute {
  /** `a.b.c.d/n`, or an IPv6 network. */
  readonly dst: string;
  /** Next hop; undefined: the destination is on the link. */
  readonly gw?: string | undefined;
  /** Further words: metric, MTU, table. */
  readonly options?: string;
}

export interface CniPair {
  readonly ident: string;
  readonly netns: Netns;
  /** Name of the interface in the namespace: letters, digits and `_.@+-` only. */
  readonly ifname: string;
  readonly bridge: string;
  /** MTU of the host end, in bytes: that of the bridge. */
  readonly bridgeMtu: number;
  /** MTU of the inner end, in bytes. */
  readonly mtu: number;
  readonly mac: string;
  /** MAC of the host end. */
  readonly outsideMac: string;
  /** Whether the bridge sends frames back to this port: a container then reaches itself by an address of the host. */
  readonly hairpin: boolean;
}

/**
 * Makes a pair of interfaces: one end in a namespace, the other one on the bridge.
 *
 * @throws WEAVE_ATTACH when either end exists: both stay as they are; WEAVE_COMMAND_FAILED: no pair then exists
 */
export async function makeCniPair(pair: CniPair): Promise<void> {
  const { ident, netns, ifname, bridge, bridgeMtu, mtu, mac, outsideMac, hairpin } = pair;
  const outside = cniHostIfname(ident);
  const peer = `name ${ifname} address ${mac} mtu ${mtu} ${SUPER_FRAME_LIMIT} netns "${netns.path}"`;
  try {
    await ipBatch([
      `link add name ${outside} address ${outsideMac} mtu ${bridgeMtu} master ${bridge} up type veth peer ${peer}`,
      // By it the interface is found and named when the database is lost.
      `link set dev ${outside} alias "${cniAlias(ident, netns)}"`,
      ...(hairpin ? [`link set dev ${outside} type bridge_slave hairpin on`] : []),
    ]);
  } catch (error) {
    // The kernel makes both ends together, or none.
    if (error instanceof CommandError && error.stderr.includes("File exists")) throw exists(ifname, error);
    await removeCniPair(ident).catch(() => {});
    throw error;
  }
  for (const { path, value } of portSysctls(outside)) writeSysctl(path, value);
}

const exists = (ifname: string, cause: unknown): WeaveError =>
  new WeaveError("WEAVE_ATTACH", `the container has an interface ${ifname} already, or it is attached already`, {
    next: "The runtime must call DEL before it repeats an ADD. Two plugins of one network cannot both make the interface.",
    cause,
  });

/** Brings up the inner end, with its addresses and routes. @param addresses in CIDR notation, of both families */
export async function configureCniInterface(
  { netns, ifname, mac, mtu }: Pick<CniPair, "netns" | "ifname" | "mac" | "mtu">,
  addresses: readonly string[],
  routes: readonly ContainerRoute[],
): Promise<void> {
  const script = [
    ...addresses.flatMap((cidr) =>
      isIpv6(cidr) ? [`address replace ${cidr} dev ${ifname} nodad`] : addressCommands(cidr, ifname, mtu),
    ),
    ...routes.map((route) => routeCommand(route, ifname)),
    // Setting the MAC, though unchanged, makes the kernel announce the IP addresses (arp_notify).
    `link set dev ${ifname} address ${mac}`,
  ];
  const ipv6 = addresses.some(isIpv6)
    ? `{ echo 0 > /proc/sys/net/ipv6/conf/${ifname}/disable_ipv6; } 2>/dev/null; `
    : "";
  // First of all up, because a bridge does not forward for a new port immediately.
  const steps = `ip link set dev ${ifname} up; ${ipv6}${arpSettingsScript(ifname)}; exec ip -batch -`;
  await run("sh", ["-c", steps], { netns: netns.path, input: `${script.join("\n")}\n` });
}

/** An IPv4 route that exists by another interface stays in front of ours; `add` would fail, and `replace` would remove it. */
function routeCommand({ dst, gw, options = "" }: ContainerRoute, ifname: string): string {
  const verb = isIpv6(dst) ? "add" : "append";
  return `route ${verb} ${dst}${gw === undefined ? "" : ` via ${gw}`} dev ${ifname}${options}`;
}

const isIpv6 = (text: string): boolean => text.includes(":");

/** Removes the pair of an attachment. @returns false when there was none */
export async function removeCniPair(ident: string): Promise<boolean> {
  try {
    await run("ip", ["link", "delete", "dev", cniHostIfname(ident)]);
    return true;
  } catch (error) {
    if (error instanceof CommandError && error.stderr.includes("Cannot find device")) return false;
    throw error;
  }
}

/** The state of an attachment in the kernel. */
export interface CniInterfaceState {
  readonly outside: Link | undefined;
  readonly inside: Link | undefined;
  /** Destinations of the routes of the interface, in all tables. */
  readonly destinations: readonly string[];
}

/** Reads the state of an attachment. @throws WEAVE_COMMAND_FAILED when the namespace cannot be entered */
export async function inspectCniPair(ident: string, netns: Netns, ifname: string): Promise<CniInterfaceState> {
  const inside = { netns: netns.path };
  const [outsideLink, insideLink, four, six] = await Promise.all([
    findLink(cniHostIfname(ident)),
    findLink(ifname, inside),
    ...["-4", "-6"].map((family) =>
      run("ip", [family, "-json", "route", "show", "table", "all", "dev", ifname], inside).catch(() => "[]"),
    ),
  ]);
  const routes = [four, six].flatMap((json) => JSON.parse(json || "[]") as { readonly dst?: string }[]);
  return {
    outside: outsideLink,
    inside: insideLink,
    destinations: routes.map(({ dst = "default" }) => dst),
  };
}
