import { readFileSync } from "node:fs";
import * as z from "zod/mini";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import type { Requests } from "#ipam/allocation/requests.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText, WeaveError } from "#src/errors.js";
import { listNamespaces } from "#src/linux/netns/inspect.js";
import { findNetns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";
import { checkStored, type Store } from "#src/store.js";

/** Prefix of keys in the store; the holder's ident follows. */
const PREFIX = "cni/ipam/";
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

const shape = z.object({
  /** Path of the namespace as the runtime named it. */
  netns: z.string(),
  /** Inode of the namespace; undefined if the router could not see it. */
  inode: z.optional(z.number()),
  /** The boot of the host in which the address was requested: no namespace survives it. */
  boot: z.string(),
});
type Entry = z.infer<typeof shape>;

/** The namespaces of a host. */
export interface HostNamespaces {
  /** Changes with each boot. */
  readonly boot: string;
  /** Inode of the namespace at a path; undefined if there is none. */
  inodeAt(path: string): number | undefined;
  /** Inodes of the namespaces with a name or a process. */
  all(): Set<number>;
}

export interface CniIpamHoldersDeps {
  readonly store: Store;
  readonly leases: Pick<LeaseTable, "get">;
  readonly requests: Pick<Requests, "cancelRelease" | "scheduleRelease">;
  /** Default: those of this host. */
  readonly namespaces?: HostNamespaces;
  readonly log: Log;
}

/**
 * The namespaces of addresses that other plugins have requested for their interfaces: a bridge of their own, macvlan. Weave has no
 * interface there whose end would show the end of the namespace. When a namespace ends, and the runtime does not call DEL, its addresses
 * are released.
 */
export class CniIpamHolders implements ContainerLifecycle {
  readonly #deps: CniIpamHoldersDeps;
  readonly #entries: Map<string, Entry>;
  readonly #namespaces: HostNamespaces;

  /** @throws WEAVE_STORE when a stored entry is damaged */
  constructor(deps: CniIpamHoldersDeps) {
    this.#deps = deps;
    this.#namespaces = deps.namespaces ?? hostNamespaces();
    this.#entries = new Map(
      deps.store
        .list(PREFIX)
        .map(([key, value]) => [
          key.slice(PREFIX.length),
          checkStored(key, value, shape, "'weave reset' starts again without it."),
        ]),
    );
  }

  /** Records the namespace of a holder. @throws WEAVE_STORE */
  record(ident: string, netns: string): void {
    const inode = this.#namespaces.inodeAt(netns);
    const entry = { netns, boot: this.#namespaces.boot, ...(inode === undefined ? {} : { inode }) };
    this.#deps.store.put(PREFIX + ident, entry);
    this.#entries.set(ident, entry);
  }

  /** @throws WEAVE_STORE */
  forget(ident: string): void {
    if (this.#entries.delete(ident)) this.#deps.store.remove(PREFIX + ident);
  }

  /** Compares the recorded namespaces with those of the host. Never rejects. */
  async look(): Promise<void> {
    if (this.#entries.size === 0) return;
    const { leases, requests } = this.#deps;
    /** Read when needed, because that takes long. */
    let inodes: Set<number> | undefined;
    try {
      for (const [ident, entry] of this.#entries) {
        if (leases.get(ident) === undefined) {
          this.forget(ident);
          continue;
        }
        let alive = this.#mayLive(entry);
        // The end of one process is not the end of a namespace that was named by it. The inode of a namespace with a name of its own is
        // not looked for elsewhere: the kernel gives it to the next namespace.
        if (!alive && entry.boot === this.#namespaces.boot && entry.netns.startsWith("/proc/")) {
          inodes ??= this.#namespaces.all();
          alive = inodes.has(entry.inode!);
        }
        if (alive) requests.cancelRelease(ident);
        else requests.scheduleRelease(ident);
      }
    } catch (error) {
      this.#deps.log.warn("cannot find out which CNI containers still exist", { why: errorText(error) });
    }
  }

  /** True also for a namespace that the router could not see. */
  #mayLive({ netns, inode, boot }: Entry): boolean {
    const { boot: now, inodeAt } = this.#namespaces;
    return boot === now && (inode === undefined || inodeAt(netns) === inode);
  }

  /** None: {@link look} checks its holders itself. */
  idents(): Iterable<string> {
    return [];
  }
  containerEnded(): void {}
  containerRuns(): void {}
}

const hostNamespaces = (): HostNamespaces => ({
  boot: readFileSync(BOOT_ID, "utf8").trim(),
  inodeAt: (path) => {
    try {
      return findNetns(path).inode;
    } catch (error) {
      if (error instanceof WeaveError) return undefined;
      throw error;
    }
  },
  all: () => new Set(listNamespaces().map(({ netns }) => netns.inode)),
});
