import { readdirSync, statSync } from "node:fs";
import { INSIDE, outsideName } from "#src/host/attach.js";
import { findLink, ipv4Of, listLinks } from "#src/host/links.js";
import { NAMED, type Netns } from "#src/host/netns.js";

/** A namespace that is on the bridge, and what it has there. */
export interface Attached {
  readonly netns: Netns;
  /** Of its end of the pair. */
  readonly mac: string;
  /** In CIDR notation. */
  readonly addresses: readonly string[];
}

/** Names of the host ends that are there now: a namespace that ends takes its own with it. */
export async function outsideNames(): Promise<Set<string>> {
  return new Set((await listLinks()).map(({ ifname }) => ifname));
}

/** All namespaces of this host that are attached. Those that nobody names and no process is in cannot be found. */
export async function attachedNamespaces(): Promise<Attached[]> {
  const outside = await outsideNames();
  const found: Attached[] = [];
  for (const netns of namespaces()) {
    if (!outside.has(outsideName(netns))) continue;
    const attached = await lookInside(netns);
    if (attached !== undefined) found.push(attached);
  }
  return found;
}

/** What a namespace has on the bridge; undefined when it is not attached, or has just ended. */
export async function lookInside(netns: Netns): Promise<Attached | undefined> {
  const link = await findLink(INSIDE, { netns: netns.path }).catch(() => undefined);
  return link === undefined ? undefined : { netns, mac: link.address, addresses: ipv4Of(link) };
}

/** Every network namespace that has a name or a process, once. */
function namespaces(): Iterable<Netns> {
  const found = new Map<number, Netns>();
  const look = (path: string) => {
    try {
      const inode = statSync(path).ino;
      if (!found.has(inode)) found.set(inode, { path, inode });
    } catch {
      // The process has ended meanwhile.
    }
  };
  for (const name of list(NAMED)) look(`${NAMED}/${name}`);
  for (const pid of list("/proc")) if (/^\d+$/.test(pid)) look(`/proc/${pid}/ns/net`);
  return found.values();
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
