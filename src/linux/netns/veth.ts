import { WeaveError } from "#src/errors.js";
import { CommandError, run } from "#src/linux/exec.js";
import { findBridge, portSysctls, writeSysctl } from "#src/linux/links/bridge.js";
import { CONTAINER_IFNAME, hostIfname, isPlainIfname } from "#src/linux/links/interface-names.js";
import { addressCommands, deleteLink, findLink, ipBatch, ipv4Of } from "#src/linux/links/links.js";
import { SUPER_FRAME_LIMIT } from "#src/linux/links/super-frame-limit.js";
import type { Netns } from "#src/linux/netns/netns.js";
import { randomMac } from "#src/random-mac.js";

export interface AttachOptions {
  readonly bridge: string;
  /** The MTU of the bridge, in bytes; read from the bridge if left out. */
  readonly mtu?: number;
  /** IPv4 addresses, in CIDR notation. */
  readonly addresses: readonly string[];
  /** Whether all multicast is routed into the overlay. */
  readonly multicastRoute: boolean;
}

/**
 * Attaches a network namespace to the bridge: makes an interface in it, and adds addresses to the interface. An existing
 * interface is kept, and gets the addresses that it lacks.
 *
 * @throws WEAVE_ATTACH, WEAVE_COMMAND_FAILED; a new interface is then removed
 */
export async function attachNamespace(netns: Netns, options: AttachOptions): Promise<void> {
  const mtu = options.mtu ?? (await mtuOf(options.bridge));
  const outside = hostIfname(netns);
  const { isNew, mac } = await makePair(netns, outside, options.bridge, mtu);
  // Also for an existing pair: the router may have ended right after it was made.
  for (const { path, value } of portSysctls(outside)) writeSysctl(path, value);
  const script = [
    ...options.addresses.flatMap((cidr) => addressCommands(cidr, CONTAINER_IFNAME, mtu)),
    ...(options.multicastRoute ? [`route replace 224.0.0.0/4 dev ${CONTAINER_IFNAME}`] : []),
    // Setting the MAC, though unchanged, makes the kernel announce the IP addresses (arp_notify).
    `link set dev ${CONTAINER_IFNAME} address ${mac}`,
    // Last, because the container's program may be waiting for this flag (docker/wait/wait.c).
    `link set dev ${CONTAINER_IFNAME} dynamic on`,
  ];
  try {
    // First of all, because a bridge does not forward for a new port immediately.
    await run(
      "sh",
      ["-c", `ip link set dev ${CONTAINER_IFNAME} up; ${arpSettingsScript(CONTAINER_IFNAME)}; exec ip -batch -`],
      {
        netns: netns.path,
        input: `${script.join("\n")}\n`,
      },
    );
  } catch (error) {
    if (isNew) await deleteLink(outside).catch(() => {});
    throw error;
  }
}

async function mtuOf(name: string): Promise<number> {
  const bridge = await findBridge(name);
  if (bridge !== undefined) return bridge.mtu;
  throw new WeaveError("WEAVE_ATTACH", "Weave bridge not found. Please run 'weave launch' and try again");
}

/**
 * Returns a shell script, for the namespace of an interface, that makes the kernel announce new addresses immediately, and soon
 * detect that an address has moved to another MAC. The settings are the same as in Weave Net.
 *
 * @throws TypeError for a name that needs quoting
 */
export function arpSettingsScript(device: string): string {
  if (!isPlainIfname(device)) throw new TypeError(`the name of an interface needs quoting: ${JSON.stringify(device)}`);
  return [
    `conf/${device}/arp_notify=1`,
    `neigh/${device}/base_reachable_time_ms=5000`,
    `neigh/${device}/delay_first_probe_time=2`,
    `neigh/${device}/ucast_solicit=1`,
  ]
    .map((setting) => setting.split("="))
    .map(([path, value]) => `{ echo ${value} > /proc/sys/net/ipv4/${path}; } 2>/dev/null`)
    .join("; ");
}

async function makePair(
  netns: Netns,
  outside: string,
  bridge: string,
  mtu: number,
): Promise<{ isNew: boolean; mac: string }> {
  const mac = randomMac();
  const inner = `name ${CONTAINER_IFNAME} address ${mac} mtu ${mtu} ${SUPER_FRAME_LIMIT} netns ${netns.path}`;
  try {
    await ipBatch([`link add name ${outside} mtu ${mtu} master ${bridge} up type veth peer ${inner}`]);
  } catch (error) {
    // The kernel makes and deletes both ends together: an existing host end has its other end in the namespace.
    if (error instanceof CommandError && error.stderr.includes("File exists")) {
      const existing = await findLink(CONTAINER_IFNAME, { netns: netns.path });
      if (existing !== undefined) return { isNew: false, mac: existing.address };
    }
    await deleteLink(outside).catch(() => {});
    throw error;
  }
  return { isNew: true, mac };
}

/** A shell script that deletes address `$1`. Without the setting the kernel would also delete the other addresses of its network (ip-sysctl.rst). */
const DELETE_ADDRESS = `{ echo 1 > /proc/sys/net/ipv4/conf/${CONTAINER_IFNAME}/promote_secondaries; } 2>/dev/null
exec ip address delete "$1" dev ${CONTAINER_IFNAME}`;

/** Removes addresses from an attached namespace, and the interface with the last one. Missing addresses are no error. @throws WEAVE_ATTACH */
export async function detachNamespace(netns: Netns, addresses: readonly string[]): Promise<void> {
  const inside = { netns: netns.path };
  const link = await findLink(CONTAINER_IFNAME, inside);
  if (link === undefined) return;
  const present = new Set(ipv4Of(link));
  for (const cidr of addresses) {
    if (!present.delete(cidr)) continue;
    try {
      await run("sh", ["-c", DELETE_ADDRESS, "sh", cidr], inside);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new WeaveError("WEAVE_ATTACH", `cannot remove ${cidr}: ${error.stderr}`, { cause: error });
    }
  }
  if (present.size === 0) await run("ip", ["link", "delete", "dev", CONTAINER_IFNAME], inside);
}
