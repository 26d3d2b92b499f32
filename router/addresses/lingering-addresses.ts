import { setTimeout as sleep } from "node:timers/promises";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { addressText } from "#ipam/ring/subnet.js";
import { addressOfCidr } from "#src/address.js";
import { errorText } from "#src/errors.js";
import { type AttachedNetns, attachedNamespaces } from "#src/linux/netns/inspect.js";
import type { Netns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";

/** After a failed look at the host. No address is released in the meantime. */
const RETRY_MS = 2_000;

export interface LingeringAddressesDeps {
  readonly requests: Requests;
  readonly leases: LeaseTable;
  /** All attached namespaces with their addresses. Undefined for this host's. */
  readonly namespaces?: () => Promise<readonly AttachedNetns[]>;
  readonly log: Log;
}

/**
 * Addresses of containers that have ended, in network namespaces that have not: a sidecar (`--network container:app`), a pod,
 * or a container that was attached to another one's namespace. They are held for as long as the namespace has them.
 */
export class LingeringAddresses {
  readonly #deps: LingeringAddressesDeps;
  /** Containers that have ended since the last look at the host. */
  readonly #ended = new Set<string>();
  /** Containers that the current look at the host is about. */
  #judged = new Set<string>();
  /** Containers that have ended, and the namespace that still has their addresses. */
  readonly #kept = new Map<string, Netns>();
  /** Namespaces with addresses of running containers, which may be in another namespace by now. */
  readonly #left = new Map<string, Netns>();
  #looking = false;
  #stopped = false;

  constructor(deps: LingeringAddressesDeps) {
    this.#deps = deps;
  }

  /** A container has ended. Its addresses are released after the grace period, or held for as long as a namespace has them. */
  containerEnded(ident: string): void {
    if (this.#kept.has(ident)) return;
    this.#deps.requests.deferRelease(ident);
    if (this.#deps.leases.get(ident) === undefined) return;
    this.#ended.add(ident);
    void this.look();
  }

  /** A container runs (again): {@link takePreviousNetns} returns the older namespace that still has its addresses. */
  containerRuns(ident: string): void {
    this.#ended.delete(ident);
    this.#judged.delete(ident);
    const netns = this.#kept.get(ident);
    if (netns === undefined) return;
    this.#kept.delete(ident);
    this.#left.set(ident, netns);
  }

  /** At the start of the router: this namespace has addresses of a container, and it is not known yet whether it is its own. */
  found(ident: string, netns: Netns): void {
    this.#left.set(ident, netns);
  }

  /** The namespace that had a container's addresses when it started, once. It may be the container's own. */
  takePreviousNetns(ident: string): Netns | undefined {
    const netns = this.#left.get(ident);
    this.#left.delete(ident);
    return netns;
  }

  /** Looks at the host when there is something to look for. Called again when an interface has gone, and every few seconds. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      do await this.#lookOnce();
      while (this.#ended.size > 0 && !this.#stopped);
    } finally {
      this.#looking = false;
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async #lookOnce(): Promise<void> {
    this.#judged = new Set([...this.#ended, ...this.#kept.keys()]);
    this.#ended.clear();
    if (this.#judged.size === 0) return;
    let namespaces: readonly AttachedNetns[];
    try {
      namespaces = await (this.#deps.namespaces ?? attachedNamespaces)();
    } catch (error) {
      this.#deps.log.warn("it is not known whether a namespace still has the addresses of ended containers", {
        why: errorText(error),
      });
      for (const ident of this.#judged) this.#ended.add(ident);
      await sleep(RETRY_MS, undefined, { ref: false });
      return;
    }
    if (this.#stopped) return;
    // A container that has run and ended again meanwhile is judged at the next look.
    for (const ident of this.#judged) if (!this.#ended.has(ident)) this.#judge(ident, namespaces);
  }

  #judge(ident: string, namespaces: readonly AttachedNetns[]): void {
    const { requests, leases, log } = this.#deps;
    const held = new Set((leases.get(ident)?.leases ?? []).map(({ address }) => addressText(address)));
    const place = namespaces.find(({ addresses }) => addresses.some((cidr) => held.has(addressOfCidr(cidr))));
    if (place === undefined) {
      this.#kept.delete(ident);
      requests.scheduleRelease(ident);
      return;
    }
    if (!this.#kept.has(ident))
      log.info("a container has ended, and its network namespace has not: the addresses stay held", {
        container: ident,
        addresses: [...held],
      });
    this.#kept.set(ident, place.netns);
    requests.cancelRelease(ident);
  }
}
