import { readdirSync, readFileSync, statSync } from "node:fs";
import { ENDPOINT_PREFIX } from "#src/linux/links/docker-endpoint.js";
import { CONTAINER_IFNAME, hostIfname } from "#src/linux/links/interface-names.js";
import { findLink, ipv4Of, type Link, listLinks } from "#src/linux/links/links.js";
import { NETNS_FOLDER, type Netns } from "#src/linux/netns/netns.js";
import { networkFiles } from "#src/linux/netns/proc-net.js";

/** A namespace that is attached to the bridge, with its addresses. */
export interface AttachedNetns extends OwnedNetns {
  /** In CIDR notation. */
  readonly addresses: readonly string[];
}

/** A network namespace, with its container. */
export interface OwnedNetns {
  readonly netns: Netns;
  /** The full id, if a process of a Docker container uses it. */
  readonly container: string | undefined;
}

/** Names of all interfaces of the host. The host end of a namespace disappears with the namespace. */
export async function interfaceNames(): Promise<Set<string>> {
  return new Set((await listLinks()).map(({ ifname }) => ifname));
}

/** All attached namespaces of this host. Namespaces with neither a name nor a process are not found. */
export async function attachedNamespaces(): Promise<AttachedNetns[]> {
  const outside = await interfaceNames();
  const found: AttachedNetns[] = [];
  for (const place of listNamespaces()) {
    if (!outside.has(hostIfname(place.netns))) continue;
    const addresses = await addressesIn(place.netns);
    if (addresses !== undefined) found.push({ ...place, addresses });
  }
  return found;
}

/** An interface of a namespace that is on the bridge. */
export interface BridgeInterface {
  readonly mac: string;
  /** In CIDR notation. */
  readonly addresses: readonly string[];
}

/** The interface that attaches a namespace to the bridge; undefined if it is not attached, or has just ended. */
export async function inspectNamespace(netns: Netns): Promise<BridgeInterface | undefined> {
  const link = await findLink(CONTAINER_IFNAME, { netns: netns.path }).catch(() => undefined);
  return link === undefined ? undefined : { mac: link.address, addresses: ipv4Of(link) };
}

/** The bridge's ports, for {@link interfacesIn}. */
export async function bridgePorts(bridge: string): Promise<readonly Link[]> {
  return (await listLinks()).filter(({ master }) => master === bridge);
}

/** All interfaces of a namespace that are on the bridge, by attaching or by Docker's plugin. */
export async function bridgeInterfacesIn(netns: Netns, ports: readonly Link[]): Promise<BridgeInterface[]> {
  const links = await listLinks({ netns: netns.path }).catch(() => []);
  return links
    .filter(({ ifname, ifindex, link_index }) =>
      ports.some((port) =>
        ifname === CONTAINER_IFNAME
          ? port.ifname === hostIfname(netns)
          : // Each namespace counts its own indexes: other pairs may have the same two.
            port.ifname.startsWith(ENDPOINT_PREFIX) && port.ifindex === link_index && port.link_index === ifindex,
      ),
    )
    .map((link) => ({ mac: link.address, addresses: ipv4Of(link) }));
}

/** Reads files of /proc where possible: a starting router inspects hundreds of namespaces, and a process in each takes long. */
async function addressesIn(netns: Netns): Promise<readonly string[] | undefined> {
  const pid = /^\/proc\/(\d+)\/ns\/net$/.exec(netns.path)?.[1];
  if (pid === undefined) return (await inspectNamespace(netns))?.addresses;
  try {
    return networkFiles(Number(pid)).addressesOf(CONTAINER_IFNAME);
  } catch {
    // The process has ended meanwhile.
    return undefined;
  }
}

/** All network namespaces with a name or a process, each once, without the host's own. */
export function listNamespaces(): OwnedNetns[] {
  const found = new Map<number, OwnedNetns>();
  const look = (path: string, pid?: string) => {
    try {
      const inode = statSync(path).ino;
      if (!found.has(inode)) found.set(inode, { netns: { path, inode }, container: pid && containerOf(pid) });
    } catch {
      // The process has ended meanwhile.
    }
  };
  for (const name of list(NETNS_FOLDER)) look(`${NETNS_FOLDER}/${name}`);
  for (const pid of list("/proc")) if (/^\d+$/.test(pid)) look(`/proc/${pid}/ns/net`, pid);
  found.delete(statSync("/proc/self/ns/net").ino);
  return [...found.values()];
}

/** The Docker or podman container that a process is in: its cgroup is named after it, whatever the driver (cgroups(7)). */
function containerOf(pid: string): string | undefined {
  return /\/(?:docker-|libpod-)?([0-9a-f]{64})(?:\.scope)?$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
