import { errorText } from "#src/errors.js";
import { closeFd } from "#src/linux/native/files.js";
import { Errno } from "#src/linux/native/libc.js";
import { makeNamespace } from "#src/linux/native/namespace-entry.js";
import { changeLink, changePort, findKernelLink, makeLink, vxlanData } from "#src/linux/netlink/link-requests.js";
import { Netlink, NetlinkError } from "#src/linux/netlink/netlink.js";
import { ForwardingTable } from "#src/linux/vxlan/forwarding-table.js";

/** Features of a kernel that the kernel path uses, with the release of Linux that has them. */
export const KERNEL_FEATURES = {
  namespaces: "network namespaces, and moving devices between them",
  vxlan: "VXLAN devices",
  "vxlan-df": "VXLAN devices that never fragment (Linux 4.20)",
  "isolated-ports": "bridge ports that do not forward to one another (Linux 4.18)",
  "external-entries": "forwarding entries that programs maintain",
  wireguard: "WireGuard devices (Linux 5.6)",
} as const;
export type KernelFeatureName = keyof typeof KERNEL_FEATURES;

/** Features without which frames cannot be carried in clear. */
export const CLEAR_FEATURES: readonly KernelFeatureName[] = ["vxlan", "isolated-ports", "external-entries"];
/** Features without which frames cannot be carried encrypted. */
export const ENCRYPTED_FEATURES: readonly KernelFeatureName[] = [...CLEAR_FEATURES, "namespaces", "wireguard"];

export interface KernelFeature {
  readonly name: KernelFeatureName;
  readonly available: boolean;
  /** Why it is not available, in words; empty when it is. */
  readonly reason: string;
}

/**
 * Tries each feature in a network namespace of its own, which ends with the trial: the host's interfaces do not change, and nothing stays
 * but modules that the kernel has loaded. A feature that cannot be tried is not available, for the reason that the kernel gives.
 */
export async function probeKernelFeatures(): Promise<readonly KernelFeature[]> {
  const namespaces: number[] = [];
  let inside: Netlink | undefined;
  try {
    namespaces.push(makeNamespace(), makeNamespace());
    inside = Netlink.open("route", namespaces[0]);
    return await probeInside(inside, namespaces[1]);
  } catch (error) {
    const names = Object.keys(KERNEL_FEATURES) as KernelFeatureName[];
    return names.map((name) => ({ name, available: false, reason: errorText(error) }));
  } finally {
    inside?.close();
    for (const namespace of namespaces) closeFd(namespace);
  }
}

const SETTINGS = { vni: 1, port: 4789, local: undefined } as const;

async function probeInside(netlink: Netlink, other: number): Promise<KernelFeature[]> {
  const results: KernelFeature[] = [];
  const attempt = async (name: KernelFeatureName, work: () => Promise<void>): Promise<void> => {
    const reason = await reasonOf(work);
    results.push({ name, available: reason === "", reason });
  };
  const vxlan = (neverFragments: boolean) =>
    makeLink(netlink, "vxlan", "vxlan", {}, vxlanData({ ...SETTINGS, neverFragments }));
  await attempt("vxlan-df", () => vxlan(true));
  await attempt("vxlan", async () => {
    if ((await findKernelLink(netlink, "vxlan")) === undefined) await vxlan(false);
  });
  let ports = { bridge: 0, vxlan: 0, tap: 0 };
  await attempt("isolated-ports", async () => {
    await makeLink(netlink, "bridge", "bridge");
    const bridge = await indexOf(netlink, "bridge");
    ports = { bridge, vxlan: await indexOf(netlink, "vxlan"), tap: 0 };
    await changeLink(netlink, "make a bridge port", ports.vxlan, { master: bridge });
    await changePort(netlink, "vxlan", ports.vxlan, { isolated: true, learning: false });
    const port = await findKernelLink(netlink, "vxlan");
    // A kernel ignores settings that it does not know.
    if (port?.portSettings?.isolated !== true) throw new Error("the kernel has no such setting");
  });
  await attempt("external-entries", () => probeEntries(netlink, ports));
  await attempt("namespaces", async () => {
    await changeLink(netlink, "move a device", await indexOf(netlink, "vxlan"), { namespace: other });
  });
  await attempt("wireguard", () => makeLink(netlink, "wireguard", "wireguard"));
  return results;
}

async function probeEntries(netlink: Netlink, ports: { bridge: number; vxlan: number; tap: number }): Promise<void> {
  const mac = "02:00:00:00:00:01";
  const table = new ForwardingTable(netlink, () => ports);
  const [failure] = await table.set([{ mac, via: "vxlan", host: "192.0.2.1" }]);
  if (failure !== undefined) throw new Error(failure.reason);
  const entry = (await table.entries()).get(mac);
  if (entry?.via !== "vxlan" || entry.host === undefined) throw new Error("the kernel does not mark such entries");
}

async function indexOf(netlink: Netlink, name: string): Promise<number> {
  const link = await findKernelLink(netlink, name);
  if (link === undefined) throw new Error(`there is no ${name} to try it with`);
  return link.ifindex;
}

/** Why an attempt fails; empty if it does not. */
async function reasonOf(work: () => Promise<void>): Promise<string> {
  try {
    await work();
    return "";
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === Errno.EOPNOTSUPP)
      return `this kernel does not have it, or its module cannot be loaded: ${error.message}`;
    return errorText(error);
  }
}
