import { Netlink } from "#src/linux/netlink/netlink.js";
import { removeDevice } from "#src/linux/vxlan/vxlan-port.js";
import { endTunnelHolder, findTunnelNamespace } from "#src/linux/wireguard/tunnel-namespace.js";

/** The VXLAN devices of connections in clear, and of encrypted ones. */
export const CLEAR_DEVICE = "weave-vx";
export const ENCRYPTED_DEVICE = "weave-vxe";
/** The WireGuard device, in the namespace of the tunnels. */
export const WIREGUARD_DEVICE = "weave-wg";

/**
 * Removes the devices of the kernel's path from this host, those of an earlier router too. Others of the same name stay.
 *
 * @param runFolder the router's, to which the namespace of the tunnels belongs
 * @throws WEAVE_NATIVE
 */
export async function removeDevices(runFolder: string): Promise<void> {
  try {
    await removeClearDevice();
  } finally {
    await removeEncryptedDevices(runFolder);
  }
}

/** As {@link removeDevices}, that of connections in clear alone. */
export const removeClearDevice = (): Promise<void> => removeFrom(undefined, [CLEAR_DEVICE]);

/** As {@link removeDevices}, those of encrypted connections alone. Nothing holds their namespace any more but a name. */
export async function removeEncryptedDevices(runFolder: string): Promise<void> {
  try {
    await removeFrom(undefined, [ENCRYPTED_DEVICE]);
    const namespace = findTunnelNamespace(runFolder);
    if (namespace !== undefined) await removeFrom(namespace, [WIREGUARD_DEVICE]);
  } finally {
    // Without a holder the kernel removes what is left in the namespace.
    endTunnelHolder(runFolder);
  }
}

async function removeFrom(namespace: string | undefined, names: readonly string[]): Promise<void> {
  const netlink = Netlink.open("route", namespace);
  try {
    for (const name of names) await removeDevice(netlink, name);
  } finally {
    netlink.close();
  }
}
