import { z } from "zod/mini";
import { addressOfCidr } from "#src/address.js";
import { checkStored, type Store } from "#src/store.js";

const networkShape = z.object({
  /** Whether its addresses come from our IPAM. */
  ours: z.boolean(),
  multicast: z.boolean(),
  /** Unix time in ms at which we heard of it. */
  made: z.number(),
});
const endpointShape = z.object({
  network: z.string(),
  /** In CIDR notation; "" when Docker gave none. */
  address: z.string(),
  /** In CIDR notation; "" when Docker gave none. */
  address6: z.optional(z.string()),
  /** Of its interface; absent where the kernel chooses. */
  mac: z.optional(z.string()),
  /** What the interface shall be called in the container, where the user has said so. */
  ifname: z.optional(z.string()),
  /** We claimed the address ourselves, and must release it. */
  claimed: z.enum(["no", "range", "outside"]),
  /** Unix time in ms at which it was made. */
  made: z.number(),
});
/**
 * What an address of our IPAM is for, which decides when it is free again:
 * - `container`: for an endpoint of ours, or for something that Docker has not shown yet;
 * - `gateway` and `auxiliary`: of a network, which holds it as long as it exists;
 * - `other driver`: for a container on a network of another driver. Only Docker knows whether it is still there.
 */
const useShape = z.enum(["container", "gateway", "auxiliary", "other driver"]);
const addressShape = z.pipe(
  // Version 0.1.0 before its release wrote the time alone.
  z.union([z.number(), z.object({ asked: z.number(), use: useShape })]),
  z.transform((value) => (typeof value === "number" ? { asked: value, use: "container" as const } : value)),
);

export type NetworkEntry = z.infer<typeof networkShape>;
export type EndpointEntry = z.infer<typeof endpointShape>;
export type Use = z.infer<typeof useShape>;
export interface AddressEntry {
  /** Unix time in ms at which Docker asked for it. */
  readonly asked: number;
  readonly use: Use;
}

const DAMAGED = "'weave reset' starts anew.";

/** What the plugin must still know after a restart of the router: Docker does not tell it again. */
export class PluginStore {
  readonly networks: Shelf<NetworkEntry>;
  readonly endpoints: Shelf<EndpointEntry>;
  readonly addresses: Shelf<AddressEntry>;

  /** @throws WEAVE_STORE when what is stored is damaged */
  constructor(store: Store) {
    this.networks = new Shelf(store, "docker/network/", networkShape);
    this.endpoints = new Shelf(store, "docker/endpoint/", endpointShape);
    this.addresses = new Shelf(store, "docker/address/", addressShape);
  }

  /** IPv4 addresses that endpoints have, without prefix length. */
  get usedAddresses(): Set<string> {
    return new Set(this.endpoints.all.map(([, { address }]) => addressOfCidr(address)));
  }
}

/** Entries of one kind, on disk before they are in memory. */
export class Shelf<T> {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #entries = new Map<string, T>();

  constructor(store: Store, prefix: string, shape: z.ZodMiniType<T>) {
    this.#store = store;
    this.#prefix = prefix;
    for (const [key, value] of store.list(prefix))
      this.#entries.set(key.slice(prefix.length), checkStored(key, value, shape, DAMAGED));
  }

  get(id: string): T | undefined {
    return this.#entries.get(id);
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  put(id: string, entry: T): void {
    this.#store.put(this.#prefix + id, entry);
    this.#entries.set(id, entry);
  }

  remove(id: string): void {
    if (!this.#entries.has(id)) return;
    this.#store.remove(this.#prefix + id);
    this.#entries.delete(id);
  }

  get all(): [id: string, entry: T][] {
    return [...this.#entries];
  }
}
