import * as z from "zod/mini";
import { addressOfCidr } from "#src/address.js";
import { checkStored, type Store } from "#src/store.js";

const networkEntryShape = z.object({
  /** Whether its addresses come from our IPAM driver. */
  ours: z.boolean(),
  multicast: z.boolean(),
  /** Unix time in ms at which Docker created it, or first showed it. */
  made: z.number(),
});
const endpointShape = z.object({
  network: z.string(),
  /** IPv4 address in CIDR notation; "" for none. */
  address: z.string(),
  /** IPv6 address in CIDR notation; "" for none. */
  address6: z.optional(z.string()),
  /** MAC address of its interface; missing if the kernel chose it. */
  mac: z.optional(z.string()),
  /** Name of the interface in the container, if the user chose one. */
  ifname: z.optional(z.string()),
  /** Where the IPv4 address is claimed and must be released: in IPAM ("range"), as an address claim ("outside"), or nowhere ("no"). */
  claimed: z.enum(["no", "range", "outside"]),
  /** Unix time in ms at which Docker created it, or first showed it. */
  made: z.number(),
});
/**
 * Use of an address of our IPAM driver, which decides when the address is released:
 * - `container`: used by an endpoint of our network driver, or by one that Docker has not shown yet;
 * - `gateway` and `auxiliary`: held by a network as long as it exists;
 * - `other driver`: used by a container on a network of another driver. Only Docker knows whether that still exists.
 */
const useShape = z.enum(["container", "gateway", "auxiliary", "other driver"]);
const addressShape = z.pipe(
  // Versions before the release of 0.1.0 stored only the time.
  z.union([z.number(), z.object({ asked: z.number(), use: useShape })]),
  z.transform((value) => (typeof value === "number" ? { asked: value, use: "container" as const } : value)),
);

export type NetworkEntry = z.infer<typeof networkEntryShape>;
export type EndpointEntry = z.infer<typeof endpointShape>;
export type AddressUse = z.infer<typeof useShape>;
export interface AddressEntry {
  /** Unix time in ms at which Docker requested it. */
  readonly asked: number;
  readonly use: AddressUse;
}

/** Next step of the error about a damaged entry. */
const REMEDY = "'weave reset' removes it.";

/** State of the plugin that survives a restart of the router: Docker does not send it again. */
export class PluginStore {
  readonly networks: EntryTable<NetworkEntry>;
  readonly endpoints: EntryTable<EndpointEntry>;
  readonly addresses: EntryTable<AddressEntry>;

  /** @throws WEAVE_STORE when a stored entry is damaged */
  constructor(store: Store) {
    this.networks = new EntryTable(store, "docker/network/", networkEntryShape);
    this.endpoints = new EntryTable(store, "docker/endpoint/", endpointShape);
    this.addresses = new EntryTable(store, "docker/address/", addressShape);
  }

  /** IPv4 addresses of endpoints, without prefix length. */
  get usedAddresses(): Set<string> {
    return new Set(this.endpoints.all.map(([, { address }]) => addressOfCidr(address)));
  }
}

/** Stored entries of one kind, by id. An entry is on disk before it is in memory. */
class EntryTable<T> {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #entries = new Map<string, T>();

  constructor(store: Store, prefix: string, shape: z.ZodMiniType<T>) {
    this.#store = store;
    this.#prefix = prefix;
    for (const [key, value] of store.list(prefix))
      this.#entries.set(key.slice(prefix.length), checkStored(key, value, shape, REMEDY));
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
