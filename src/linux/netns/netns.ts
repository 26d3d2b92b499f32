import { existsSync, statfsSync, statSync } from "node:fs";
import { WeaveError } from "#src/errors.js";

/** A network namespace: a path to it, and its inode, which identifies it. */
export interface Netns {
  readonly path: string;
  readonly inode: number;
}

/** Type number of the file system of namespaces (linux/magic.h). */
const NSFS_MAGIC = 0x6e73_6673;
const NAMESPACES_HINT = "'ip netns list' shows the named ones; 'lsns -t net' all that processes use.";

/** The folder of namespaces that `ip netns` named. */
export const NETNS_FOLDER = "/run/netns";

/** The files as the first process of the host sees them. */
const OUTSIDE = "/proc/1/root";

/** Makes the ident of a namespace in IPAM, short enough for the columns of `weave ps`. */
export const netnsIdent = ({ inode }: Pick<Netns, "inode">): string => `ns${inode.toString(16)}`;

/** Reads the inode from an ident of {@link netnsIdent}; undefined for any other ident. */
export function inodeOfIdent(ident: string): number | undefined {
  return /^ns[0-9a-f]{1,12}$/.test(ident) ? Number.parseInt(ident.slice(2), 16) : undefined;
}

/** Whether a user's text has the form of a namespace, and not of a container: `netns:NAME` or a path. */
export const isNetnsText = (text: string): boolean => text.startsWith("netns:") || text.startsWith("/");

/**
 * Finds a network namespace by a user's text: `netns:NAME` (of `ip netns`), a path, or the id of a process in it.
 *
 * @throws WEAVE_NAMESPACE when there is none, or when it is the host's own
 */
export function findNetns(text: string): Netns {
  const path = pathOf(text);
  let inode: number;
  try {
    inode = statSync(path).ino;
  } catch (cause) {
    throw new WeaveError("WEAVE_NAMESPACE", `network namespace ${text} not found: there is no ${path}`, {
      cause,
      next: NAMESPACES_HINT,
    });
  }
  // For another file, nsenter would only report an invalid argument.
  if (!isNetnsFile(path))
    throw new WeaveError("WEAVE_NAMESPACE", `${path} is no network namespace`, { next: NAMESPACES_HINT });
  if (inode === statSync("/proc/self/ns/net").ino) {
    throw new WeaveError(
      "WEAVE_NAMESPACE",
      "Container is running in the host network namespace, and therefore cannot be\nconnected to weave - perhaps the container was started with --net=host",
    );
  }
  return { path, inode };
}

/** Whether a namespace still is at its path: it may have ended, and the id of its process may have been reused. */
export function isNetnsCurrent({ path, inode }: Netns): boolean {
  try {
    return statSync(path).ino === inode;
  } catch {
    return false;
  }
}

/**
 * The path of a namespace that `ip netns` named. It is a mount: a router whose mount namespace does not receive the host's mounts
 * sees an empty file there, and finds the namespace by the first process of the host.
 */
export const namedNetns = (name: string): string => visiblePath(`${NETNS_FOLDER}/${name}`);

/** The path by which this process finds a namespace of the host: see {@link namedNetns}. */
function visiblePath(path: string): string {
  // The link /var/run would lead to this process's own /run.
  const outside = `${OUTSIDE}${path.replace(/^\/var\/run\//, "/run/")}`;
  return !isNetnsFile(path) && isNetnsFile(outside) ? outside : path;
}

/** The name that `ip netns` gave a namespace; undefined for one without. */
export function netnsName({ path }: Pick<Netns, "path">): string | undefined {
  const [folder, name] = path.split(/\/(?=[^/]*$)/);
  return folder === NETNS_FOLDER || folder === `${OUTSIDE}${NETNS_FOLDER}` ? name : undefined;
}

/** Whether a path leads to a namespace, and not to the empty file on which one is mounted. */
export function isNetnsFile(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch {
    return false;
  }
}

function pathOf(text: string): string {
  if (text.startsWith("netns:")) {
    const name = text.slice("netns:".length);
    if (!/^[\w.@:-]{1,255}$/.test(name) || name === "." || name === "..")
      throw new WeaveError("WEAVE_NAMESPACE", `invalid name of a network namespace: '${name}'`);
    return namedNetns(name);
  }
  if (text.startsWith("/")) return visiblePath(text);
  if (/^[1-9]\d{0,9}$/.test(text)) {
    if (!existsSync(`/proc/${text}`)) throw new WeaveError("WEAVE_NAMESPACE", `there is no process ${text}`);
    return `/proc/${text}/ns/net`;
  }
  throw new WeaveError("WEAVE_NAMESPACE", `'${text}' names no network namespace`, {
    next: "Give netns:NAME, a path such as /run/netns/NAME, or the id of a process. Containers are found by Docker, where weave was launched with it.",
  });
}
