import type { Confirmations } from "#ipam/agreement/confirmations.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { Donors } from "#ipam/allocation/donors.js";
import type { LeaseHolder, LeaseTable } from "#ipam/allocation/lease-table.js";
import type { RingAccess } from "#ipam/allocation/ring-access.js";
import type { WaitOptions, WaitQueue } from "#ipam/allocation/wait-queue.js";
import type { WaitReasons } from "#ipam/allocation/wait-reasons.js";
import { contains, type Interval, overlap } from "#ipam/ring/interval.js";
import { addressText, hostsOf, type Lease, leaseText, type Subnet, subnetOf } from "#ipam/ring/subnet.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import { ENDED_CONTAINER_GRACE_MS } from "#src/container-lifecycle.js";
import { WeaveError } from "#src/errors.js";
import { isIdent } from "#src/ident.js";
import type { Log } from "#src/log.js";

/** Attempts of a claim while the owner of the address is unreachable; the same as in Weave Net. */
const CLAIM_ATTEMPTS = 5;
/** Interval between these attempts. */
const CLAIM_RETRY_MS = 1_000;
/** Time for which a request waits for donated space before it gets an avoided address. */
const LAST_RESORT_MS = 2_000;
/** The ident of a request without a container: the address itself becomes the holder's id. */
export const ANONYMOUS = "_";

export interface RequestOptions extends WaitOptions {
  /** Whether the end of the holder frees the address. */
  readonly container?: boolean;
}

export interface RequestsDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly clock: Clock;
  readonly log: Log;
  readonly peers: KnownPeers;
  readonly state: RingState;
  readonly access: RingAccess;
  readonly leases: LeaseTable;
  readonly waitQueue: WaitQueue;
  readonly waitReasons: WaitReasons;
  readonly donors: Donors;
  readonly confirmations: Confirmations;
}

/** Requests of users and containers: to allocate, claim and free addresses. */
export class Requests {
  readonly #deps: RequestsDeps;
  readonly #leases: LeaseTable;
  readonly #waitQueue: WaitQueue;

  constructor(deps: RequestsDeps) {
    this.#deps = deps;
    this.#leases = deps.leases;
    this.#waitQueue = deps.waitQueue;
  }

  /**
   * Allocates an address in a subnet: the address that the holder has there, else the lowest free one. Waits for the ring and for
   * space.
   *
   * @throws WEAVE_IPAM_RANGE when the subnet is outside the range, or the range conflicts with another peer's; WEAVE_IPAM for an
   *   invalid ident; WEAVE_IPAM_WAIT, WEAVE_CANCELLED, WEAVE_STORE
   */
  async allocate(ident: string, subnet: Subnet, options: RequestOptions = {}): Promise<Lease> {
    checkIdent(ident);
    const { range, clock, waitReasons } = this.#deps;
    const bounds = overlap(hostsOf(subnet), range);
    if (bounds === undefined)
      throw new WeaveError("WEAVE_IPAM_RANGE", `range ${subnet.text} out of bounds: ${range.text}`, {
        next: "Choose a subnet within the range that all hosts were launched with (--ipalloc-range).",
      });
    const since = clock.now();
    return this.#waitQueue.run(
      {
        kind: "allocate",
        ident,
        subject: subnet.text,
        attempt: () => this.#tryAllocate(ident, subnet, bounds, { container: options.container ?? false, since }),
        reason: () => waitReasons.reasonFor(bounds),
      },
      options,
    );
  }

  /**
   * Assigns a certain address to a holder. An address outside the range is only recorded; an address of another peer is requested
   * from that peer.
   *
   * @throws WEAVE_IPAM_IN_USE, WEAVE_IPAM_PEER_UNREACHABLE; WEAVE_IPAM for a network or broadcast address; WEAVE_IPAM_RANGE when
   *   the range conflicts with another peer's; WEAVE_IPAM_WAIT, WEAVE_CANCELLED, WEAVE_STORE
   */
  async claim(ident: string, lease: Lease, options: RequestOptions = {}): Promise<void> {
    checkIdent(ident);
    this.#checkHostAddress(lease);
    const { address } = lease;
    const { clock, waitReasons } = this.#deps;
    let attempts = 0;
    let attemptedAt = Number.NEGATIVE_INFINITY;
    const onUnreachable = (owner: PeerName): undefined => {
      const now = clock.now();
      if (now - attemptedAt < CLAIM_RETRY_MS) return undefined;
      attemptedAt = now;
      if (++attempts <= CLAIM_ATTEMPTS) return undefined;
      throw new WeaveError("WEAVE_IPAM_PEER_UNREACHABLE", `${this.#ownedBy(address, owner)} - it is not reachable`, {
        next: `If that peer is dead for good: 'weave rmpeer ${owner}'.`,
      });
    };
    await this.#waitQueue.run(
      {
        kind: "claim",
        ident,
        subject: leaseText(lease),
        attempt: () => this.#tryClaim(ident, lease, options.container ?? false, onUnreachable),
        reason: () => waitReasons.reasonFor(oneAddress(address)),
      },
      options,
    );
  }

  /**
   * Records the address of a running container that is not in the lease table, because the disk was lost for example. If the
   * address belongs to another peer, it is requested from that peer later.
   *
   * @throws WEAVE_IPAM_IN_USE when another holder on this host has it; WEAVE_STORE
   */
  found(ident: string, lease: Lease, container: boolean): void {
    checkIdent(ident);
    const holder = this.#leases.holderOf(lease.address);
    if (holder?.ident === ident) return;
    if (holder !== undefined && (holder.endedAt === undefined || holder.releaseDeferred))
      throw new WeaveError(
        "WEAVE_IPAM_IN_USE",
        `address ${addressText(lease.address)} is already owned by ${holder.ident}`,
      );
    this.#replaceHolder(ident, lease, container, holder);
  }

  /** Returns the leases of a holder in a subnet. */
  lookup(ident: string, subnet: Subnet): Lease[] {
    const hosts = hostsOf(subnet);
    return (this.#leases.get(ident)?.leases ?? []).filter(({ address }) => contains(hosts, address));
  }

  /** Frees an address of a holder. @throws WEAVE_IPAM_NOT_FOUND when the holder does not have it; WEAVE_STORE */
  free(ident: string, address: bigint): void {
    this.#deps.log.debug("an address is freed", { address: addressText(address), ident });
    this.#leases.remove(holderIdent(ident, address), address);
    this.#waitQueue.retry();
  }

  /** Frees all addresses of a holder, and cancels its waiting requests. @throws WEAVE_IPAM_NOT_FOUND when it has none; WEAVE_STORE */
  freeAll(ident: string): void {
    this.#waitQueue.cancel("it was freed", ident);
    this.#leases.removeAll(ident);
    this.#waitQueue.retry();
  }

  /** Returns the ident of the holder of an address; undefined if there is none, or only a container that has certainly ended. */
  holderOf(address: bigint): string | undefined {
    const holder = this.#leases.holderOf(address);
    return holder === undefined || (holder.endedAt !== undefined && !holder.releaseDeferred) ? undefined : holder.ident;
  }

  /**
   * Replaces the set of avoided addresses. These are allocated only when no other address is free: containers that do not run
   * at present have requested them explicitly.
   */
  avoid(addresses: ReadonlySet<bigint>): void {
    this.#leases.avoid(addresses);
  }

  /**
   * Records that a container has ended, while an interface may still have its addresses: no other holder gets them before
   * {@link scheduleRelease} or {@link cancelRelease} is called.
   */
  deferRelease(ident: string): void {
    this.#waitQueue.cancel("the container died", ident);
    this.#leases.markEnded(ident, this.#deps.clock.now(), true);
  }

  /** Records that a container has ended: its waiting requests are cancelled, and its addresses freed after {@link ENDED_CONTAINER_GRACE_MS}. */
  scheduleRelease(ident: string): void {
    this.#waitQueue.cancel("the container died", ident);
    this.#leases.markEnded(ident, this.#deps.clock.now());
    // A claim may wait for one of its addresses.
    this.#waitQueue.retry();
  }

  /** Records that a container runs (again), or that a network namespace keeps its addresses in use after its end. */
  cancelRelease(ident: string): void {
    this.#leases.markInUse(ident);
  }

  /** Resolves when there is a ring. @throws WEAVE_IPAM_WAIT, WEAVE_CANCELLED */
  async prime(options: WaitOptions = {}): Promise<void> {
    const { access, range, waitReasons } = this.#deps;
    await this.#waitQueue.run(
      {
        kind: "prime",
        ident: "",
        subject: "",
        attempt: () => (access.ready() === undefined ? undefined : true),
        reason: () => waitReasons.reasonFor(range),
      },
      options,
    );
  }

  /** Frees the addresses of containers that ended {@link ENDED_CONTAINER_GRACE_MS} ago. @throws WEAVE_STORE */
  tick(): void {
    const { clock, log } = this.#deps;
    const now = clock.now();
    for (const { ident, endedAt, releaseDeferred } of [...this.#leases.all()]) {
      if (endedAt === undefined || releaseDeferred || now - endedAt < ENDED_CONTAINER_GRACE_MS) continue;
      log.info("the addresses of an ended container are free again", { ident });
      this.#leases.removeAll(ident);
    }
  }

  // ── Attempts ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #tryAllocate(
    ident: string,
    subnet: Subnet,
    bounds: Interval,
    { container, since }: { readonly container: boolean; readonly since: number },
  ): Lease | undefined {
    const existing = this.#leases.leaseIn(ident, hostsOf(subnet));
    if (existing !== undefined) {
      this.#leases.markInUse(ident);
      return existing;
    }
    const { access, state, donors, clock, confirmations } = this.#deps;
    const ring = access.ready();
    if (ring === undefined) return undefined;
    let address = state.space.lowest(bounds);
    if (address === undefined && confirmations.isAwaited(bounds)) return undefined;
    if (address === undefined) {
      donors.request(bounds, ring);
      const mayGetSpace = donors.progress(bounds).peer !== undefined && clock.now() - since < LAST_RESORT_MS;
      address = mayGetSpace ? undefined : state.space.lowestOfAll(bounds);
    }
    if (address === undefined) return undefined;
    const lease = { address, prefix: subnet.prefix };
    this.#hold(ident, lease, container);
    return lease;
  }

  #tryClaim(
    ident: string,
    lease: Lease,
    container: boolean,
    onUnreachable: (owner: PeerName) => undefined,
  ): true | undefined {
    const { address } = lease;
    const { self, range, peers, access, donors, state } = this.#deps;
    const holder = this.#leases.holderOf(address);
    if (holder?.releaseDeferred && holder.ident !== ident) return undefined;
    if (holder !== undefined && !this.#isReplaceable(holder, ident, address)) {
      this.#leases.markInUse(holder.ident);
      return true;
    }
    if (!contains(range, address)) return this.#replaceHolder(ident, lease, container, holder);
    const ring = access.ready();
    if (ring === undefined) return undefined;
    const { owner } = ring.at(address).value;
    // A takeover or a transfer may wait for other peers' answers.
    if (owner === self)
      return state.space.owns(address) ? this.#replaceHolder(ident, lease, container, holder) : undefined;
    if (!peers.reachable().has(owner)) return onUnreachable(owner);
    const bounds = oneAddress(address);
    if (donors.hasDenied(owner, bounds)) throw new WeaveError("WEAVE_IPAM_IN_USE", this.#ownedBy(address, owner));
    donors.request(bounds, ring);
    return undefined;
  }

  /** @param ended the present holder, an ended container; undefined if the address has none */
  #replaceHolder(ident: string, lease: Lease, container: boolean, ended: LeaseHolder | undefined): true {
    if (ended !== undefined) this.#leases.remove(ended.ident, lease.address);
    this.#hold(ident, lease, container);
    return true;
  }

  #hold(ident: string, lease: Lease, container: boolean): void {
    this.#leases.add(holderIdent(ident, lease.address), lease, container);
    this.#deps.log.debug("an address is allocated", { address: leaseText(lease), ident });
  }

  // ── Checks and errors ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Checks that a lease is a host address. @throws WEAVE_IPAM for the network address or the broadcast address */
  #checkHostAddress(lease: Lease): void {
    const { address, prefix } = lease;
    const subnet = subnetOf(lease);
    // Outside the range a network address is allowed: scripts for Weave Net attach the first address of a prefix, and Linux
    // accepts it.
    const foreign = address === subnet.start && !contains(this.#deps.range, address);
    if (prefix >= 31 || contains(hostsOf(subnet), address) || foreign) return;
    const what = address === subnet.start ? "the network's own address" : "the broadcast address";
    throw new WeaveError("WEAVE_IPAM", `address ${addressText(address)} is ${what} of ${subnet.text}`, {
      next: "Choose one between the two.",
    });
  }

  /**
   * Whether the holder of an address has ended, so that another one may get the address. False: it is the same holder.
   *
   * @throws WEAVE_IPAM_IN_USE when the holder runs
   */
  #isReplaceable(holder: LeaseHolder, ident: string, address: bigint): boolean {
    if (holder.ident === holderIdent(ident, address)) return false;
    if (holder.endedAt !== undefined) return true;
    const text = addressText(address);
    if (holder.ident === text) throw new WeaveError("WEAVE_IPAM_IN_USE", `address ${text} already in use`);
    throw new WeaveError("WEAVE_IPAM_IN_USE", `address ${text} is already owned by ${holder.ident}`, {
      next: `'weave ipam explain ${text}' shows more.`,
    });
  }

  #ownedBy(address: bigint, owner: PeerName): string {
    const nickname = this.#deps.peers.nickname(owner) ?? "?";
    return `address ${addressText(address)} is owned by other peer ${owner} (${nickname})`;
  }
}

const oneAddress = (address: bigint): Interval => ({ start: address, end: address + 1n });

/** Returns the id of the holder that an address is recorded for. */
const holderIdent = (ident: string, address: bigint): string => (ident === ANONYMOUS ? addressText(address) : ident);

function checkIdent(ident: string): void {
  if (!isIdent(ident)) {
    throw new WeaveError("WEAVE_IPAM", `invalid container id: ${JSON.stringify(ident.slice(0, 64))}`, {
      next: "An id is 1 to 255 visible ASCII characters.",
    });
  }
}
