import { setTimeout as sleep } from "node:timers/promises";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { addressText } from "#ipam/ring/subnet.js";
import { addressOfCidr } from "#src/address.js";
import { errorText } from "#src/errors.js";
import { type AttachedNetns, attachedNamespaces } from "#src/linux/netns/inspect.js";
import type { Netns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";

/** Delay after a failed inspection of the host. No address is released meanwhile. */
const RETRY_MS = 2_000;

export interface LingeringAddressesDeps {
  readonly requests: Requests;
  readonly leases: LeaseTable;
  /** Reads all attached namespaces with their addresses. Default: those of this host. */
  readonly namespaces?: () => Promise<readonly AttachedNetns[]>;
  readonly log: Log;
}

/**
 * Keeps the addresses of containers that have ended while their network namespace lives on: with a sidecar (`--network
 * container:app`), in a pod, or in the namespace of another container. The addresses stay allocated until no namespace has them.
 */
export class LingeringAddresses {
  readonly #deps: LingeringAddressesDeps;
  /** Containers that have ended since the last inspection of the host. */
  readonly #ended = new Set<string>();
  /** Containers that the current inspection of the host is for. */
  #inspecting = new Set<string>();
  /** Containers that have ended, and the namespace that still has their addresses. */
  readonly #kept = new Map<string, Netns>();
  /** By running container: an older namespace with its addresses. The container may run in another namespace now. */
  readonly #left = new Map<string, Netns>();
  #looking = false;
  #stopped = false;

  constructor(deps: LingeringAddressesDeps) {
    this.#deps = deps;
  }

  /** Records that a container has ended. Its addresses are released after the grace period, unless a namespace still has them. */
  containerEnded(ident: string): void {
    if (this.#kept.has(ident)) return;
    this.#deps.requests.deferRelease(ident);
    if (this.#deps.leases.get(ident) === undefined) return;
    this.#ended.add(ident);
    void this.look();
  }

  /** Records that a container runs (again). {@link takePreviousNetns} then returns the older namespace with its addresses. */
  containerRuns(ident: string): void {
    this.#ended.delete(ident);
    this.#inspecting.delete(ident);
    const netns = this.#kept.get(ident);
    if (netns === undefined) return;
    this.#kept.delete(ident);
    this.#left.set(ident, netns);
  }

  /** Records, at the start of the router, that a namespace has addresses of a container. It may be the container's own. */
  found(ident: string, netns: Netns): void {
    this.#left.set(ident, netns);
  }

  /** Returns, once, the namespace that had a container's addresses when the container started. It may be the container's own. */
  takePreviousNetns(ident: string): Netns | undefined {
    const netns = this.#left.get(ident);
    this.#left.delete(ident);
    return netns;
  }

  /** Inspects the host if containers have ended. Call this after the removal of an interface, and every few seconds. */
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
    this.#inspecting = new Set([...this.#ended, ...this.#kept.keys()]);
    this.#ended.clear();
    if (this.#inspecting.size === 0) return;
    let namespaces: readonly AttachedNetns[];
    try {
      namespaces = await (this.#deps.namespaces ?? attachedNamespaces)();
    } catch (error) {
      this.#deps.log.warn("it is not known whether a namespace still has the addresses of ended containers", {
        why: errorText(error),
      });
      for (const ident of this.#inspecting) this.#ended.add(ident);
      await sleep(RETRY_MS, undefined, { ref: false });
      return;
    }
    if (this.#stopped) return;
    // A container that has run and ended again meanwhile is left to the next inspection.
    for (const ident of this.#inspecting) if (!this.#ended.has(ident)) this.#judge(ident, namespaces);
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
