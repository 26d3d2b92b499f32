import { readdirSync, readFileSync, statSync } from "node:fs";
import { ENDPOINT_PREFIX } from "#src/linux/links/docker-endpoint.js";
import { CONTAINER_IFNAME, hostIfname } from "#src/linux/links/interface-names.js";
import { findLink, ipv4Of, type Link, listLinks } from "#src/linux/links/links.js";
import { parseCniAlias } from "#src/linux/netns/cni-ident.js";
import { NETNS_FOLDER, type Netns, namedNetns, netnsIdent } from "#src/linux/netns/netns.js";
import { networkFiles } from "#src/linux/netns/proc-net.js";
import { startTime } from "#src/process-start.js";

/** A namespace that is attached to the bridge, with its addresses. */
export interface AttachedNetns extends OwnedNetns {
  /** IPv4 addresses of its interface, in CIDR notation. */
  readonly addresses: readonly string[];
  /** Holder's id of an interface that a CNI runtime requested; undefined for one that weave attached. */
  readonly cniIdent?: string;
}

/** A network namespace, with its container. */
export interface OwnedNetns {
  readonly netns: Netns;
  /** The full id of the container whose process uses the namespace; undefined without one. */
  readonly container: string | undefined;
}

/** Returns the names of all interfaces of the host. The kernel deletes the host end of a namespace with the namespace. */
export async function interfaceNames(): Promise<Set<string>> {
  return new Set((await listLinks()).map(({ ifname }) => ifname));
}

/**
 * Finds all attached namespaces of this host, except namespaces with neither a name nor a process; one with several interfaces once for
 * each.
 */
export async function attachedNamespaces(): Promise<AttachedNetns[]> {
  const outside = await listLinks();
  const names = new Set(outside.map(({ ifname }) => ifname));
  const aliases = outside.flatMap(({ ifalias }) => parseCniAlias(ifalias) ?? []);
  const found: AttachedNetns[] = [];
  for (const place of listNamespaces()) {
    if (names.has(hostIfname(place.netns))) {
      const addresses = await addressesIn(place.netns, CONTAINER_IFNAME);
      if (addresses !== undefined) found.push({ ...place, addresses });
    }
    for (const { ident, ifname } of aliases.filter(({ netns }) => netns === netnsIdent(place.netns))) {
      const addresses = await addressesIn(place.netns, ifname);
      if (addresses !== undefined) found.push({ ...place, addresses, cniIdent: ident });
    }
  }
  return found;
}

/** An interface of a namespace that is on the bridge. */
export interface BridgeInterface {
  readonly mac: string;
  /** IPv4 addresses, in CIDR notation. */
  readonly addresses: readonly string[];
  /** Id of the container at its CNI runtime; undefined for an interface that no CNI runtime requested. */
  readonly cniContainer?: string;
  /** The host's end of it, where it was looked up by the bridge's ports. */
  readonly port?: string;
  /** Whether it is up, and its MTU in bytes, looked up with {@link port}. */
  readonly up?: boolean;
  readonly mtu?: number;
}

/** Returns the interface that attaches a namespace to the bridge; undefined if the namespace is not attached, or has ended. */
export async function inspectNamespace(netns: Netns, ifname = CONTAINER_IFNAME): Promise<BridgeInterface | undefined> {
  const link = await findLink(ifname, { netns: netns.path }).catch(() => undefined);
  return link === undefined ? undefined : { mac: link.address, addresses: ipv4Of(link) };
}

/** Returns the bridge's ports, for {@link bridgeInterfacesIn}. */
export async function bridgePorts(bridge: string): Promise<readonly Link[]> {
  return (await listLinks()).filter(({ master }) => master === bridge);
}

/** Returns all interfaces of a namespace that are on the bridge, made by attaching, for a CNI runtime, or by Docker's plugin. */
export async function bridgeInterfacesIn(netns: Netns, ports: readonly Link[]): Promise<BridgeInterface[]> {
  return (await pairsOf(netns, ports)).map(({ link, port }) => {
    const cniContainer = parseCniAlias(port.ifalias)?.container;
    return {
      ...{ mac: link.address, addresses: ipv4Of(link) },
      ...(cniContainer === undefined ? {} : { cniContainer }),
      ...{ port: port.ifname, up: link.flags.includes("UP"), mtu: link.mtu },
    };
  });
}

/** An interface of a namespace, and the port of the bridge that is its other end. */
export interface BridgePair {
  readonly link: Link;
  readonly port: Link;
}

/** Returns the pairs of interfaces by which a namespace is on the bridge; none for one that has ended. */
export async function pairsOf(netns: Netns, ports: readonly Link[]): Promise<BridgePair[]> {
  if (!canBeOnBridge(netns, ports)) return [];
  const links = await listLinks({ netns: netns.path }).catch(() => []);
  return links.flatMap((link) => {
    const port = ports.find((each) => isPair(link, each, netns));
    return port === undefined ? [] : [{ link, port }];
  });
}

/** Whether an interface of a namespace and a port of the bridge are the two ends of a pair. */
function isPair({ ifname, ifindex, link_index }: Link, port: Link, netns: Netns): boolean {
  if (isNamedAfter(port, netns)) return ifname === (parseCniAlias(port.ifalias)?.ifname ?? CONTAINER_IFNAME);
  // Each namespace has its own interface indexes: other pairs may have the same two, so the prefix is checked too.
  return port.ifname.startsWith(ENDPOINT_PREFIX) && port.ifindex === link_index && port.link_index === ifindex;
}

/** Whether the name or the alias of a port names a namespace. */
const isNamedAfter = ({ ifname, ifalias }: Link, netns: Netns): boolean =>
  ifname === hostIfname(netns) || parseCniAlias(ifalias)?.netns === netnsIdent(netns);

/** Whether a namespace can have an interface on the bridge. A host has many others, and to run `ip` in each takes long. */
function canBeOnBridge(netns: Netns, ports: readonly Link[]): boolean {
  if (ports.some((port) => isNamedAfter(port, netns))) return true;
  const pid = pidOf(netns);
  try {
    // The names of the plugin's ports do not distinguish namespaces.
    return ports.some(({ ifname }) => ifname.startsWith(ENDPOINT_PREFIX)) && !(pid && networkFiles(pid).isEmpty());
  } catch {
    // The process has ended since.
    return false;
  }
}

/** The process by which a namespace was found; undefined for one with a name. */
const pidOf = ({ path }: Netns): number | undefined => Number(/^\/proc\/(\d+)\/ns\/net$/.exec(path)?.[1]) || undefined;

/** Reads the addresses of an attached namespace from /proc if possible: to run `ip` in hundreds of namespaces takes long. */
async function addressesIn(netns: Netns, ifname: string): Promise<readonly string[] | undefined> {
  const pid = pidOf(netns);
  if (pid === undefined) return (await inspectNamespace(netns, ifname))?.addresses;
  try {
    return networkFiles(pid).addressesOf(ifname);
  } catch {
    // The process has ended since.
    return undefined;
  }
}

/** The name that `ip netns` gave a namespace; undefined for one without. */
export const nameOfNetns = (inode: number): string | undefined =>
  list(NETNS_FOLDER).find((name) => find(namedNetns(name))?.inode === inode);

/**
 * Lists all network namespaces with a name or a process, each once, except the host's own. A namespace without a name is found by its
 * oldest process, preferably one of a container: it will most likely exist when the namespace is entered. Ids of processes begin
 * again at 2 when they are used up.
 */
export function listNamespaces(): OwnedNetns[] {
  const own = statSync("/proc/self/ns/net").ino;
  const named = new Map<number, Netns>();
  for (const name of list(NETNS_FOLDER)) {
    const netns = find(namedNetns(name));
    if (netns !== undefined) named.set(netns.inode, netns);
  }
  const users = new Map<number, NetnsUser>();
  for (const pid of list("/proc").filter((name) => /^\d+$/.test(name))) {
    const inode = find(netnsOfPid(pid))?.inode;
    if (inode === undefined || inode === own) continue;
    const user = netnsUser(pid);
    if (user !== undefined && isBetter(user, users.get(inode))) users.set(inode, user);
  }
  return [...new Set([...named.keys(), ...users.keys()])]
    .filter((inode) => inode !== own)
    .map((inode) => {
      const user = users.get(inode);
      // Podman names the namespaces of its containers.
      const netns = named.get(inode) ?? { path: netnsOfPid(user?.pid ?? ""), inode };
      return { netns, container: user?.container };
    });
}

/** A process in a namespace. */
interface NetnsUser {
  readonly pid: string;
  /** Time of its start, in the kernel's ticks. */
  readonly started: number;
  readonly container: string | undefined;
}

/** @returns undefined if the process has ended since */
function netnsUser(pid: string): NetnsUser | undefined {
  try {
    const started = startTime(Number(pid));
    return started === undefined ? undefined : { pid, started: Number(started), container: containerOf(pid) };
  } catch {
    return undefined;
  }
}

function isBetter(user: NetnsUser, than: NetnsUser | undefined): boolean {
  if (than === undefined) return true;
  if ((user.container === undefined) !== (than.container === undefined)) return user.container !== undefined;
  return user.started < than.started;
}

const netnsOfPid = (pid: string): string => `/proc/${pid}/ns/net`;

/** @returns undefined if the process has ended since */
function find(path: string): Netns | undefined {
  try {
    return { path, inode: statSync(path).ino };
  } catch {
    return undefined;
  }
}

/** Returns the container of a process, from its cgroups. */
function containerOf(pid: string): string | undefined {
  return containerOfCgroups(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
}

/** A cgroup that is named after a container: by Docker, Podman, CRI-O or containerd, with cgroupfs or systemd as its manager. */
const CONTAINER_CGROUP =
  /\/(?:([0-9a-f]{64})|(?:docker|libpod|crio|cri-containerd)-([0-9a-f]{64})(?:\.scope)?(?:\/.*)?)$/m;

/**
 * Returns the full id of the container to whose cgroups a process belongs; undefined without one. Below a container's cgroup are further
 * ones: of crun (`container`), and of systemd in the container.
 *
 * @param text content of /proc/PID/cgroup (cgroups(7))
 */
export function containerOfCgroups(text: string): string | undefined {
  const match = CONTAINER_CGROUP.exec(text);
  return match?.[1] ?? match?.[2];
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
