import { readFileSync, writeFileSync } from "node:fs";
import { WeaveError } from "#src/errors.js";
import { run } from "#src/linux/exec.js";
import { addressCommands, findLink, ipBatch, type Link, tapMtu } from "#src/linux/links/links.js";
import type { MacText } from "#src/mac.js";

/** The interface alias that marks a bridge as made by weave. */
const ALIAS = "made by weave";

/** A kernel parameter: its path below /proc/sys, and its value. */
export interface Sysctl {
  readonly path: string;
  readonly value: string;
}

/** Finds weave's bridge; undefined if it does not exist. @throws WEAVE_BRIDGE_FOREIGN when another interface has the name */
export async function findBridge(name: string): Promise<Link | undefined> {
  const link = await findLink(name);
  if (link !== undefined) checkOwnBridge(link);
  return link;
}

/** Checks that weave made an interface. @throws WEAVE_BRIDGE_FOREIGN if not */
export function checkOwnBridge({ ifname: name, ifalias, linkinfo }: Link): void {
  if (linkinfo?.info_kind === "bridge" && ifalias === ALIAS) return;
  throw new WeaveError("WEAVE_BRIDGE_FOREIGN", `there is an interface ${name} that weave did not make`, {
    next: `Remove it if it is not needed ('ip link delete dev ${name}'), or choose another name with --weave-bridge.`,
  });
}

/**
 * Makes the bridge, or sets the existing one to the desired state.
 *
 * @param mac the bridge's MAC, which is the peer's name
 * @param mtu the MTU of bridge and containers, in bytes
 * @returns whether the bridge is new
 * @throws WEAVE_BRIDGE_FOREIGN
 */
export async function ensureBridge(name: string, mac: MacText, mtu: number): Promise<boolean> {
  const isNew = (await findBridge(name)) === undefined;
  await ipBatch(bridgeCommands(name, mac, mtu, isNew));
  for (const { path, value } of bridgeSysctls(name)) writeSysctl(path, value);
  return isNew;
}

/** Returns the `ip` commands that set the bridge to the desired state. @param isNew whether the bridge must be made first */
export function bridgeCommands(name: string, mac: string, mtu: number, isNew: boolean): string[] {
  return [
    ...(isNew ? [`link add name ${name} type bridge`, `link set dev ${name} alias "${ALIAS}"`] : []),
    // Without a querier on the overlay, snooping would stop multicast. Multicast is flooded, as in Weave Net.
    `link set dev ${name} address ${mac} mtu ${mtu} type bridge forward_delay 0 mcast_snooping 0`,
    `link set dev ${name} up`,
  ];
}

/** Kernel parameters of the bridge: the host ignores IPv6 router advertisements of containers. */
export const bridgeSysctls = (name: string): Sysctl[] => [{ path: `net/ipv6/conf/${name}/accept_ra`, value: "0" }];

/** Makes the router's TAP device a port of the bridge. @param mtu of the bridge, in bytes */
export async function addRouterPort(bridge: string, tap: string, mtu: number): Promise<void> {
  for (const { path, value } of portSysctls(tap)) writeSysctl(path, value);
  await ipBatch(portCommands(bridge, tap, mtu));
}

/** Returns the `ip` commands for the router's port. Isolated ports do not forward to one another: only the router relays. */
export function portCommands(bridge: string, tap: string, mtu: number): string[] {
  return [
    `link set dev ${tap} mtu ${tapMtu(mtu)} master ${bridge}`,
    `link set dev ${tap} up`,
    `link set dev ${tap} type bridge_slave isolated on`,
  ];
}

/** Kernel parameters of a bridge port: the port gets no IPv6 address. */
export const portSysctls = (port: string): Sysctl[] => [{ path: `net/ipv6/conf/${port}/disable_ipv6`, value: "1" }];

/** Returns the ports on which the bridge has learned `mac`. The kernel removes entries with their port. */
export async function portsOf(bridge: string, mac: MacText): Promise<string[]> {
  const entries = JSON.parse((await run("bridge", ["-json", "fdb", "show", "br", bridge])) || "[]") as {
    mac?: string;
    ifname?: string;
  }[];
  return entries.filter((entry) => entry.mac === mac && entry.ifname !== undefined).map((entry) => entry.ifname!);
}

/** Adds an address to an interface of the host. @param cidr in CIDR notation */
export async function addAddress(name: string, cidr: string): Promise<void> {
  const link = await findLink(name);
  await ipBatch(addressCommands(cidr, name, link?.mtu ?? 0));
}

/** Removes an address from an interface of the host. @param cidr in CIDR notation */
export async function removeAddress(name: string, cidr: string): Promise<void> {
  // Without this the kernel would also delete the other addresses of the network (ip-sysctl.rst).
  writeSysctl(`net/ipv4/conf/${name}/promote_secondaries`, "1");
  await run("ip", ["address", "delete", cidr, "dev", name]);
}

/** Sets a kernel parameter. A failure is ignored: the kernel may lack the parameter, when IPv6 is off for example. */
export function writeSysctl(path: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
  } catch {
    // The network works without these settings.
  }
}

/** Reads a kernel parameter; undefined where the kernel lacks it. */
export function readSysctl(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch {
    return undefined;
  }
}
