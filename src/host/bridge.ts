import { writeFileSync } from "node:fs";
import { WeaveError } from "#src/errors.js";
import { run } from "#src/host/exec.js";
import { addressCommands, findLink, ipBatch, type Link, TAP_MAX_MTU } from "#src/host/links.js";
import type { MacText } from "#src/mac.js";

/** How we know a bridge as ours: `ip link` shows it as the alias. */
const ALIAS = "made by weave";

/** The bridge `name`, if there is one and it is ours. @throws WEAVE_BRIDGE_FOREIGN when something else has the name */
export async function findBridge(name: string): Promise<Link | undefined> {
  const link = await findLink(name);
  if (link === undefined) return undefined;
  if (link.linkinfo?.info_kind !== "bridge" || link.ifalias !== ALIAS) {
    throw new WeaveError("WEAVE_BRIDGE_FOREIGN", `there is an interface ${name} that weave did not make`, {
      next: `Remove it if nobody needs it ('ip link delete dev ${name}'), or choose another name with --weave-bridge.`,
    });
  }
  return link;
}

/**
 * Makes the bridge, or brings the one that is there into the wanted state.
 *
 * @param mac its address: the peer's name
 * @param mtu in bytes: what containers get
 * @returns whether it was made now
 * @throws WEAVE_BRIDGE_FOREIGN
 */
export async function ensureBridge(name: string, mac: MacText, mtu: number): Promise<boolean> {
  const commands: string[] = [];
  const isNew = (await findBridge(name)) === undefined;
  if (isNew) commands.push(`link add name ${name} type bridge`, `link set dev ${name} alias "${ALIAS}"`);
  // Snooping would need a querier on the overlay; multicast is flooded, as the original does.
  commands.push(
    `link set dev ${name} address ${mac} mtu ${mtu} type bridge forward_delay 0 mcast_snooping 0`,
    `link set dev ${name} up`,
  );
  await ipBatch(commands);
  sysctl(`net/ipv6/conf/${name}/accept_ra`, "0");
  return isNew;
}

/** Makes the router's TAP a port of the bridge. Isolated ports never forward to one another: only the router relays. */
export async function addRouterPort(bridge: string, tap: string, mtu: number): Promise<void> {
  sysctl(`net/ipv6/conf/${tap}/disable_ipv6`, "1");
  await ipBatch([
    `link set dev ${tap} mtu ${Math.min(mtu, TAP_MAX_MTU)} master ${bridge}`,
    `link set dev ${tap} up`,
    `link set dev ${tap} type bridge_slave isolated on`,
  ]);
}

/** The ports of the bridge behind which it has lately seen `mac`. A port that is deleted takes its entries with it. */
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
