import { parseCidr } from "#src/address.js";
import { CommandError, type RunOptions, run } from "#src/linux/exec.js";

/** A network interface, as far as we use it of the output of `ip -json`. */
export interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly mtu: number;
  readonly address: string;
  readonly ifalias?: string;
  readonly master?: string;
  readonly flags: readonly string[];
  readonly link_index?: number;
  readonly linkinfo?: {
    readonly info_kind?: string;
    /** Of a bridge. */
    readonly info_data?: { readonly mcast_snooping?: number };
    /** Of a port of a bridge. */
    readonly info_slave_data?: { readonly isolated?: boolean };
  };
  readonly addr_info?: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

/** All interfaces with their addresses. */
export async function listLinks(options: RunOptions = {}): Promise<Link[]> {
  return JSON.parse((await run("ip", ["-json", "-details", "address", "show"], options)) || "[]") as Link[];
}

/** One interface, or undefined where there is none of that name. */
export async function findLink(name: string, options: RunOptions = {}): Promise<Link | undefined> {
  try {
    return (JSON.parse(await run("ip", ["-json", "-details", "address", "show", "dev", name], options)) as Link[])[0];
  } catch (error) {
    if (error instanceof CommandError && /does not exist|Cannot find device/.test(error.stderr)) return undefined;
    throw error;
  }
}

/**
 * Runs several `ip` commands in one process. The first failure ends it; with `force` the others run as well.
 *
 * @throws WEAVE_COMMAND_FAILED when one failed
 */
export async function ipBatch(
  commands: readonly string[],
  { force = false, ...options }: RunOptions & { readonly force?: boolean } = {},
): Promise<void> {
  await run("ip", [...(force ? ["-force"] : []), "-batch", "-"], { ...options, input: `${commands.join("\n")}\n` });
}

/** Deletes an interface, if it exists. */
export async function deleteLink(name: string, options: RunOptions = {}): Promise<void> {
  if ((await findLink(name, options)) !== undefined) await run("ip", ["link", "delete", "dev", name], options);
}

/** IPv4 addresses of an interface, in CIDR notation. */
export function ipv4Of(link: Link): string[] {
  return (link.addr_info ?? [])
    .filter(({ family }) => family === "inet")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/** The largest MTU of a TAP device: 64 KB less the Ethernet header (drivers/net/tun.c). */
export const TAP_MAX_MTU = 65_535 - 14;

/** The MTU of the TAP for a bridge of `mtu`; both in bytes. */
export const tapMtu = (mtu: number): number => Math.min(mtu, TAP_MAX_MTU);

/**
 * The `ip` commands that add an IPv4 address to an interface which is up. If the interface takes larger packets than a TAP, the
 * route to the subnet gets a smaller MTU: without it the largest packets would be lost between the two.
 */
export function addressCommands(cidr: string, device: string, mtu: number): string[] {
  if (mtu <= TAP_MAX_MTU) return [`address replace ${cidr} dev ${device}`];
  return [`address replace ${cidr} dev ${device} noprefixroute`, `route replace ${networkRoute(cidr, device, mtu)}`];
}

/** The route to an address's network, as the kernel makes it, but with the MTU of a TAP. */
export function networkRoute(cidr: string, device: string, mtu: number): string {
  const { address, subnet } = parseCidr(cidr);
  const limit = mtu <= TAP_MAX_MTU ? "" : ` mtu ${TAP_MAX_MTU}`;
  return `${subnet} dev ${device} proto kernel scope link src ${address}${limit}`;
}
