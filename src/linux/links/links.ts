import { parseCidr } from "#src/address.js";
import { CommandError, type RunOptions, run } from "#src/linux/exec.js";

/** A network interface: the used fields of the output of `ip -json -details address show`. */
export interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly mtu: number;
  readonly address: string;
  readonly ifalias?: string;
  readonly master?: string;
  readonly flags: readonly string[];
  /** Index of the other end of a veth pair, in its namespace. */
  readonly link_index?: number;
  readonly linkinfo?: {
    readonly info_kind?: string;
    /** Present for a bridge. */
    readonly info_data?: { readonly mcast_snooping?: number };
    /** Present for a port of a bridge. */
    readonly info_slave_data?: { readonly isolated?: boolean };
  };
  readonly addr_info?: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

/** Lists all interfaces with their addresses. */
export async function listLinks(options: RunOptions = {}): Promise<Link[]> {
  return JSON.parse((await run("ip", ["-json", "-details", "address", "show"], options)) || "[]") as Link[];
}

/** Finds an interface by name; undefined if it does not exist. */
export async function findLink(name: string, options: RunOptions = {}): Promise<Link | undefined> {
  try {
    return (JSON.parse(await run("ip", ["-json", "-details", "address", "show", "dev", name], options)) as Link[])[0];
  } catch (error) {
    if (error instanceof CommandError && /does not exist|Cannot find device/.test(error.stderr)) return undefined;
    throw error;
  }
}

/**
 * Runs several `ip` commands in one process. The first failure ends it; with `force` the remaining commands run too.
 *
 * @throws WEAVE_COMMAND_FAILED when a command failed
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

/** Returns the IPv4 addresses of an interface, in CIDR notation. */
export function ipv4Of(link: Link): string[] {
  return (link.addr_info ?? [])
    .filter(({ family }) => family === "inet")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/** Largest MTU of a TAP device in bytes: 64 KB minus the Ethernet header (drivers/net/tun.c). */
export const TAP_MAX_MTU = 65_535 - 14;

/** Returns the MTU of the TAP device for a bridge with MTU `mtu`; both in bytes. */
export const tapMtu = (mtu: number): number => Math.min(mtu, TAP_MAX_MTU);

/**
 * Returns the `ip` commands that add an IPv4 address to an interface which is up. If the interface has a larger MTU than a TAP
 * device can have, the route to the subnet gets the TAP's MTU: the TAP would drop larger packets.
 */
export function addressCommands(cidr: string, device: string, mtu: number): string[] {
  if (mtu <= TAP_MAX_MTU) return [`address replace ${cidr} dev ${device}`];
  return [`address replace ${cidr} dev ${device} noprefixroute`, `route replace ${networkRoute(cidr, device, mtu)}`];
}

/** Returns the route to an address's network as the kernel makes it, with the MTU of a TAP device where `mtu` is larger. */
export function networkRoute(cidr: string, device: string, mtu: number): string {
  const { address, subnet } = parseCidr(cidr);
  const limit = mtu <= TAP_MAX_MTU ? "" : ` mtu ${TAP_MAX_MTU}`;
  return `${subnet} dev ${device} proto kernel scope link src ${address}${limit}`;
}
