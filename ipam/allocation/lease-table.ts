import * as z from "zod/mini";
import { RESET_HINT } from "#ipam/agreement/ring-state.js";
import { IntervalSet } from "#ipam/ring/interval.js";
import { addressText, type Lease, leaseText, parseLease } from "#ipam/ring/subnet.js";
import { WeaveError } from "#src/errors.js";
import { checkStored, type Store } from "#src/store.js";

/** Prefix of keys in the store; the holder's id follows. */
const PREFIX = "ipam/held/";
/** Maximum number of addresses of a holder. */
const MAX_LEASES = 256;
/** Maximum number of holders: more than any host runs. A client that invents ids must not fill memory and disk. */
const MAX_HOLDERS = 65_536;

const shape = z.object({
  container: z.boolean(),
  leases: z.array(z.string().check(z.regex(/^[\d./]{9,18}$/))).check(z.maxLength(MAX_LEASES)),
});

/** A holder of addresses on this host: a container, or another ident. */
export interface LeaseHolder {
  readonly ident: string;
  /** Whether the end of the container frees its addresses. Other holders (`weave:expose`) keep their addresses until they are freed by request. */
  readonly container: boolean;
  readonly leases: readonly Lease[];
  /** Monotonic time at which its end was detected; undefined while it runs. */
  readonly endedAt: number | undefined;
  /** Whether the container has ended but an interface may still have its addresses: no other holder gets them. */
  readonly releaseDeferred: boolean;
}

/** The addresses in use on this host, by holder. Changes of leases are written to disk before memory. */
export class LeaseTable {
  readonly #store: Store;
  readonly #holders = new Map<string, LeaseHolder>();
  readonly #byAddress = new Map<bigint, string>();
  /** All held addresses, as a set. */
  readonly used = new IntervalSet();
  /** Addresses to allocate last: containers that do not run have requested them explicitly. */
  readonly avoided = new IntervalSet();

  /** @throws WEAVE_STORE when a stored entry is damaged */
  constructor(store: Store) {
    this.#store = store;
    for (const [key, value] of store.list(PREFIX)) {
      const { container, leases } = checkStored(key, value, shape, RESET_HINT);
      this.#keep({
        ident: key.slice(PREFIX.length),
        container,
        leases: leases.map((text) => parseLease(text)),
        endedAt: undefined,
        releaseDeferred: false,
      });
    }
  }

  get(ident: string): LeaseHolder | undefined {
    return this.#holders.get(ident);
  }

  all(): IterableIterator<LeaseHolder> {
    return this.#holders.values();
  }

  /** Returns the holder of an address. */
  holderOf(address: bigint): LeaseHolder | undefined {
    const ident = this.#byAddress.get(address);
    return ident === undefined ? undefined : this.#holders.get(ident);
  }

  /** Returns all held addresses. */
  addresses(): IterableIterator<bigint> {
    return this.#byAddress.keys();
  }

  /** Returns all held addresses with the ids of their holders. */
  entries(): IterableIterator<[bigint, string]> {
    return this.#byAddress.entries();
  }

  /** Returns the lease of a holder in a subnet. */
  leaseIn(ident: string, subnet: { readonly start: bigint; readonly end: bigint }): Lease | undefined {
    return this.#holders.get(ident)?.leases.find(({ address }) => subnet.start <= address && address < subnet.end);
  }

  /**
   * Adds a free address to a holder, and marks the holder as in use.
   *
   * @throws WEAVE_STORE when it cannot be written; then nothing has changed. WEAVE_IPAM when there are too many
   */
  add(ident: string, lease: Lease, container: boolean): void {
    const was = this.#holders.get(ident);
    if ((was?.leases.length ?? 0) >= MAX_LEASES || (was === undefined && this.#holders.size >= MAX_HOLDERS)) {
      throw new WeaveError("WEAVE_IPAM", `${ident} cannot get ${leaseText(lease)}: too many addresses are held here`);
    }
    this.#save({
      ident,
      container: container || (was?.container ?? false),
      leases: [...(was?.leases ?? []), lease],
      endedAt: undefined,
      releaseDeferred: false,
    });
  }

  /** Removes an address of a holder. @throws WEAVE_STORE; WEAVE_IPAM_NOT_FOUND when the holder does not have the address */
  remove(ident: string, address: bigint): void {
    const was = this.#holders.get(ident);
    const leases = was?.leases.filter((lease) => lease.address !== address) ?? [];
    if (was === undefined || leases.length === was.leases.length)
      throw new WeaveError("WEAVE_IPAM_NOT_FOUND", `Free: address ${addressText(address)} not found for ${ident}`);
    if (leases.length === 0) this.#drop(was);
    else this.#save({ ...was, leases });
  }

  /** Removes all addresses of a holder. @throws WEAVE_STORE; WEAVE_IPAM_NOT_FOUND when the holder has none */
  removeAll(ident: string): void {
    const was = this.#holders.get(ident);
    if (was === undefined) throw new WeaveError("WEAVE_IPAM_NOT_FOUND", `Delete: no addresses for ${ident}`);
    this.#drop(was);
  }

  /**
   * A container has ended at `at`, on the clock; the first time counts until it runs again.
   *
   * @param releaseDeferred whether an interface may still have its addresses
   */
  markEnded(ident: string, at: number, releaseDeferred = false): void {
    const was = this.#holders.get(ident);
    if (was?.container) this.#holders.set(ident, { ...was, endedAt: was.endedAt ?? at, releaseDeferred });
  }

  /** A container runs (again), or its addresses stay in use after its end. */
  markInUse(ident: string): void {
    const was = this.#holders.get(ident);
    if (was?.container) this.#holders.set(ident, { ...was, endedAt: undefined, releaseDeferred: false });
  }

  /** Replaces the addresses to allocate last. Leases are not changed. */
  avoid(addresses: ReadonlySet<bigint>): void {
    for (const { start, end } of [...this.avoided])
      for (let address = start; address < end; address++) if (!addresses.has(address)) this.avoided.delete(address);
    for (const address of addresses) this.avoided.add(address);
  }

  #save(holder: LeaseHolder): void {
    const { ident, container, leases } = holder;
    this.#store.put(PREFIX + ident, { container, leases: leases.map(leaseText) });
    this.#keep(holder);
  }

  #drop(was: LeaseHolder): void {
    this.#store.remove(PREFIX + was.ident);
    this.#forget(was);
  }

  #keep(holder: LeaseHolder): void {
    const was = this.#holders.get(holder.ident);
    if (was !== undefined) this.#forget(was);
    this.#holders.set(holder.ident, holder);
    for (const { address } of holder.leases) {
      this.#byAddress.set(address, holder.ident);
      this.used.add(address);
    }
  }

  #forget({ ident, leases }: LeaseHolder): void {
    this.#holders.delete(ident);
    for (const { address } of leases) {
      this.#byAddress.delete(address);
      this.used.delete(address);
    }
  }
}
