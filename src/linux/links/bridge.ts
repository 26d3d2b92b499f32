import { readFileSync, writeFileSync } from "node:fs";
import { WeaveError } from "#src/errors.js";
import { run } from "#src/linux/exec.js";
import { addressCommands, findLink, ipBatch, type Link, tapMtu } from "#src/linux/links/links.js";
import type { MacText } from "#src/mac.js";

/** Marks a bridge as ours: the alias in `ip link`. */
const ALIAS = "made by weave";

/** A kernel parameter: its path below /proc/sys, and its value. */
export interface Sysctl {
  readonly path: string;
  readonly value: string;
}

/** The bridge `name`, if it exists. @throws WEAVE_BRIDGE_FOREIGN when another interface has the name */
export async function findBridge(name: string): Promise<Link | undefined> {
  const link = await findLink(name);
  if (link !== undefined) checkOwnBridge(link);
  return link;
}

/** @throws WEAVE_BRIDGE_FOREIGN when weave did not make the interface */
export function checkOwnBridge({ ifname: name, ifalias, linkinfo }: Link): void {
  if (linkinfo?.info_kind === "bridge" && ifalias === ALIAS) return;
  throw new WeaveError("WEAVE_BRIDGE_FOREIGN", `there is an interface ${name} that weave did not make`, {
    next: `Remove it if it is not needed ('ip link delete dev ${name}'), or choose another name with --weave-bridge.`,
  });
}

/**
 * Makes the bridge, or brings the existing one into the desired state.
 *
 * @param mac its address: the peer's name
 * @param mtu in bytes: the MTU of containers
 * @returns whether it did not exist before
 * @throws WEAVE_BRIDGE_FOREIGN
 */
export async function ensureBridge(name: string, mac: MacText, mtu: number): Promise<boolean> {
  const isNew = (await findBridge(name)) === undefined;
  await ipBatch(bridgeCommands(name, mac, mtu, isNew));
  for (const { path, value } of bridgeSysctls(name)) sysctl(path, value);
  return isNew;
}

/** The `ip` commands that bring the bridge into the desired state. @param isNew whether it does not exist yet */
export function bridgeCommands(name: string, mac: string, mtu: number, isNew: boolean): string[] {
  return [
    ...(isNew ? [`link add name ${name} type bridge`, `link set dev ${name} alias "${ALIAS}"`] : []),
    // Snooping would need a querier on the overlay; multicast is flooded, as Weave Net does.
    `link set dev ${name} address ${mac} mtu ${mtu} type bridge forward_delay 0 mcast_snooping 0`,
    `link set dev ${name} up`,
  ];
}

/** The host takes no address or route from router advertisements of containers. */
export const bridgeSysctls = (name: string): Sysctl[] => [{ path: `net/ipv6/conf/${name}/accept_ra`, value: "0" }];

/** Makes the router's TAP a port of the bridge. */
export async function addRouterPort(bridge: string, tap: string, mtu: number): Promise<void> {
  for (const { path, value } of portSysctls(tap)) sysctl(path, value);
  await ipBatch(portCommands(bridge, tap, mtu));
}

/** The `ip` commands for the router's port. Isolated ports never forward to one another: only the router relays. */
export function portCommands(bridge: string, tap: string, mtu: number): string[] {
  return [
    `link set dev ${tap} mtu ${tapMtu(mtu)} master ${bridge}`,
    `link set dev ${tap} up`,
    `link set dev ${tap} type bridge_slave isolated on`,
  ];
}

/** A port of the bridge has no IPv6 address of its own. */
export const portSysctls = (port: string): Sysctl[] => [{ path: `net/ipv6/conf/${port}/disable_ipv6`, value: "1" }];

/** The ports at which the bridge has recently learned `mac`. The kernel removes the entries of a deleted port. */
export async function portsOf(bridge: string, mac: MacText): Promise<string[]> {
  const entries = JSON.parse((await run("bridge", ["-json", "fdb", "show", "br", bridge])) || "[]") as {
    mac?: string;
    ifname?: string;
  }[];
  return entries.filter((entry) => entry.mac === mac && entry.ifname !== undefined).map((entry) => entry.ifname!);
}

export async function addAddress(name: string, cidr: string): Promise<void> {
  const link = await findLink(name);
  await ipBatch(addressCommands(cidr, name, link?.mtu ?? 0));
}

export async function removeAddress(name: string, cidr: string): Promise<void> {
  // Without it the kernel would delete the other addresses of its network, too (ip-sysctl.rst).
  sysctl(`net/ipv4/conf/${name}/promote_secondaries`, "1");
  await run("ip", ["address", "delete", cidr, "dev", name]);
}

/** Sets a kernel parameter where the kernel has it (IPv6 may be off). */
export function sysctl(path: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
  } catch {
    // Not fatal: these settings only spare some noise.
  }
}

/** A kernel parameter's value; undefined where the kernel has none of that name. */
export function readSysctl(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch {
    return undefined;
  }
}
