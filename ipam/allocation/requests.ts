import { GRACE_MS, type LeaseHolder } from "#ipam/allocation/lease-table.js";
import type { Reason, WaitOptions } from "#ipam/allocation/wait-queue.js";
import type { Parts } from "#ipam/parts.js";
import { contains, type Interval, overlap } from "#ipam/ring/interval.js";
import type { Ring } from "#ipam/ring/ring.js";
import { addressText, hostsOf, intervalText, type Lease, leaseText, type Subnet, subnetOf } from "#ipam/ring/subnet.js";
import { peerText } from "#ipam/surroundings.js";
import { ringSummary } from "#ipam/wire/ipam-message.js";
import type { PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";
import { isIdent } from "#src/ident.js";

/** Tries to get one certain address from an owner that is not within reach. As the original. */
const CLAIM_TRIES = 5;
const CLAIM_RETRY_MS = 1_000;
/** An address that a stopped container has asked for is given to another one when no peer has given space by then. */
const LAST_RESORT_MS = 2_000;
/** "No container": the address is filed under its own text. */
export const ANONYMOUS = "_";

export interface RequestOptions extends WaitOptions {
  /** Whether the death of the holder frees the address. */
  readonly container?: boolean;
}

/** What users ask for: addresses, for those who hold them. */
export class Requests {
  readonly #parts: Parts;
  #left = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * An address in a subnet for a holder: the one it has there, else the lowest free one. Waits for the ring and for space.
   *
   * @throws WEAVE_IPAM_RANGE when the subnet is outside our range; WEAVE_IPAM_WAIT, WEAVE_CANCELLED, WEAVE_STORE
   */
  async allocate(ident: string, subnet: Subnet, options: RequestOptions = {}): Promise<Lease> {
    checkIdent(ident);
    const bounds = overlap(hostsOf(subnet), this.#parts.env.range);
    if (bounds === undefined)
      throw new WeaveError("WEAVE_IPAM_RANGE", `range ${subnet.text} out of bounds: ${this.#parts.env.range.text}`, {
        next: "Ask for a subnet within the range that all hosts were launched with (--ipalloc-range).",
      });
    const since = this.#parts.env.clock.now();
    return this.#parts.waiting.run(
      {
        kind: "allocate",
        ident,
        subject: subnet.text,
        attempt: () => this.#tryAllocate(ident, subnet, bounds, { container: options.container ?? false, since }),
        reason: () => this.#reason(bounds),
      },
      options,
    );
  }

  /**
   * Gives a certain address to a holder. One outside our range is only noted; one of another peer is asked for.
   *
   * @throws WEAVE_IPAM_IN_USE, WEAVE_IPAM_PEER_UNREACHABLE; WEAVE_IPAM for the address of its network, or broadcast; WEAVE_IPAM_WAIT, WEAVE_CANCELLED
   */
  async claim(ident: string, lease: Lease, options: RequestOptions = {}): Promise<void> {
    checkIdent(ident);
    const { address, prefix } = lease;
    const subnet = subnetOf(lease);
    // Scripts for Weave Net attach the first address of a prefix of their own, and Linux takes it: outside the range that is theirs to decide.
    const foreign = address === subnet.start && !contains(this.#parts.env.range, address);
    if (prefix < 31 && !contains(hostsOf(subnet), address) && !foreign) {
      const what = address === subnet.start ? "the network's own address" : "the broadcast address";
      throw new WeaveError("WEAVE_IPAM", `address ${addressText(address)} is ${what} of ${subnet.text}`, {
        next: "Choose one between the two.",
      });
    }
    const one = { start: address, end: address + 1n };
    let tries = 0;
    let triedAt = Number.NEGATIVE_INFINITY;
    const unreachable = (owner: PeerName): undefined => {
      const now = this.#parts.env.clock.now();
      if (now - triedAt < CLAIM_RETRY_MS) return undefined;
      triedAt = now;
      if (++tries <= CLAIM_TRIES) return undefined;
      throw new WeaveError("WEAVE_IPAM_PEER_UNREACHABLE", `${this.#ownedBy(address, owner)} - it is not within reach`, {
        next: `If that peer is dead for good: 'weave rmpeer ${owner}'.`,
      });
    };
    await this.#parts.waiting.run(
      {
        kind: "claim",
        ident,
        subject: leaseText(lease),
        attempt: () => this.#tryClaim(ident, lease, options.container ?? false, unreachable),
        reason: () => this.#reason(one),
      },
      options,
    );
  }

  /**
   * A container on this host was found with an address that nobody here had noted: the disk was lost, say. It is noted as
   * it is. Where it belongs to another peer, that one is asked to leave it to us.
   *
   * @throws WEAVE_IPAM_IN_USE when another container here holds it; WEAVE_STORE
   */
  found(ident: string, lease: Lease, container: boolean): void {
    checkIdent(ident);
    const holder = this.#parts.leases.holderOf(lease.address);
    if (holder?.ident === ident) return;
    if (holder !== undefined && (holder.died === undefined || holder.inDoubt))
      throw new WeaveError(
        "WEAVE_IPAM_IN_USE",
        `address ${addressText(lease.address)} is already owned by ${holder.ident}`,
      );
    this.#take(ident, lease, container, holder);
  }

  /** What a holder has in a subnet. */
  lookup(ident: string, subnet: Subnet): Lease[] {
    const hosts = hostsOf(subnet);
    return (this.#parts.leases.get(ident)?.leases ?? []).filter(({ address }) => contains(hosts, address));
  }

  /** @throws WEAVE_IPAM_NOT_FOUND when the holder does not have it; WEAVE_STORE */
  free(ident: string, address: bigint): void {
    this.#parts.env.log.debug("an address is freed", { address: addressText(address), ident });
    this.#parts.leases.remove(ident === ANONYMOUS ? addressText(address) : ident, address);
    this.#parts.waiting.retry();
  }

  /** @throws WEAVE_IPAM_NOT_FOUND when the holder has nothing; WEAVE_STORE */
  freeAll(ident: string): void {
    this.#parts.waiting.cancel("it was freed", ident);
    this.#parts.leases.removeAll(ident);
    this.#parts.waiting.retry();
  }

  /** Who holds an address on this host; undefined for nobody, and for a container that has died for certain. */
  holderOf(address: bigint): string | undefined {
    const holder = this.#parts.leases.holderOf(address);
    return holder === undefined || (holder.died !== undefined && !holder.inDoubt) ? undefined : holder.ident;
  }

  /** Addresses that containers which do not run have asked for by name: others get them last. */
  avoid(addresses: ReadonlySet<bigint>): void {
    this.#parts.leases.avoid(addresses);
  }

  /**
   * A container has ended, and it is not known yet whether an interface still has its addresses: nobody gets them before
   * {@link died} or {@link alive} is called.
   */
  ended(ident: string): void {
    this.#parts.waiting.cancel("the container died", ident);
    this.#parts.leases.mark(ident, this.#parts.env.clock.now(), true);
  }

  /** A container has died: what it waits for is cancelled, what it holds is freed after {@link GRACE_MS}. */
  died(ident: string): void {
    this.#parts.waiting.cancel("the container died", ident);
    this.#parts.leases.mark(ident, this.#parts.env.clock.now());
    // Somebody may wait for exactly one of its addresses.
    this.#parts.waiting.retry();
  }

  /** A container runs (again). */
  alive(ident: string): void {
    this.#parts.leases.mark(ident, undefined);
  }

  /** Resolves when there is a ring. @throws WEAVE_IPAM_WAIT, WEAVE_CANCELLED */
  async prime(options: WaitOptions = {}): Promise<void> {
    await this.#parts.waiting.run(
      {
        kind: "prime",
        ident: "",
        subject: "",
        attempt: () => (this.#ready() === undefined ? undefined : true),
        reason: () => this.#reason(this.#parts.env.range),
      },
      options,
    );
  }

  // ── Trying ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tryAllocate(
    ident: string,
    subnet: Subnet,
    bounds: Interval,
    { container, since }: { readonly container: boolean; readonly since: number },
  ): Lease | undefined {
    const existing = this.#parts.leases.leaseIn(ident, hostsOf(subnet));
    if (existing !== undefined) {
      this.#parts.leases.mark(ident, undefined);
      return existing;
    }
    const ring = this.#ready();
    if (ring === undefined) return undefined;
    const { state, donors, env } = this.#parts;
    let address = state.space.lowest(bounds);
    if (address === undefined) {
      donors.ask(bounds, ring);
      const hope = donors.progress(bounds).asked !== undefined && env.clock.now() - since < LAST_RESORT_MS;
      address = hope ? undefined : state.space.lowestOfAll(bounds);
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
    unreachable: (owner: PeerName) => undefined,
  ): true | undefined {
    const { address } = lease;
    const text = addressText(address);
    const holder = this.#parts.leases.holderOf(address);
    if (holder?.inDoubt && holder.ident !== ident) return undefined;
    if (holder !== undefined && !this.#yields(holder, ident, text)) {
      this.#parts.leases.mark(holder.ident, undefined);
      return true;
    }
    if (!contains(this.#parts.env.range, address)) return this.#take(ident, lease, container, holder);
    const ring = this.#ready();
    if (ring === undefined) return undefined;
    const { owner, pending } = ring.at(address).value;
    if (owner === this.#parts.env.self) return pending ? undefined : this.#take(ident, lease, container, holder);
    if (!this.#parts.env.peers.reachable().has(owner)) return unreachable(owner);
    const one = { start: address, end: address + 1n };
    if (this.#parts.donors.hasDenied(owner, one))
      throw new WeaveError("WEAVE_IPAM_IN_USE", this.#ownedBy(address, owner));
    this.#parts.donors.ask(one, ring);
    return undefined;
  }

  #take(ident: string, lease: Lease, container: boolean, dead: LeaseHolder | undefined): true {
    if (dead !== undefined) this.#parts.leases.remove(dead.ident, lease.address);
    this.#hold(ident, lease, container);
    return true;
  }

  #hold(ident: string, lease: Lease, container: boolean): void {
    this.#parts.leases.add(ident === ANONYMOUS ? addressText(lease.address) : ident, lease, container);
    this.#parts.env.log.debug("an address is given", { address: leaseText(lease), ident });
  }

  /** Whether the holder of an address gives way to another one. False: they are the same. @throws WEAVE_IPAM_IN_USE */
  #yields(holder: LeaseHolder, ident: string, text: string): boolean {
    if (holder.ident === (ident === ANONYMOUS ? text : ident)) return false;
    if (holder.died !== undefined) return true;
    if (holder.ident === text) throw new WeaveError("WEAVE_IPAM_IN_USE", `address ${text} already in use`);
    throw new WeaveError("WEAVE_IPAM_IN_USE", `address ${text} is already owned by ${holder.ident}`, {
      next: `'weave ipam explain ${text}' tells more.`,
    });
  }

  #ownedBy(address: bigint, owner: PeerName): string {
    const nickname = this.#parts.env.peers.nickname(owner) ?? "?";
    return `address ${addressText(address)} is owned by other peer ${owner} (${nickname})`;
  }

  /** The ring, when it may be handed out from. @throws WEAVE_CANCELLED, WEAVE_IPAM_RANGE */
  #ready(): Ring | undefined {
    if (this.#left) throw new WeaveError("WEAVE_CANCELLED", "this peer has left the network ('weave reset')");
    const { ring } = this.#parts.state;
    this.#parts.otherRanges.check(ringSummary(ring));
    if (ring === undefined) {
      this.#parts.bootstrap.want();
      // It may have been made at once.
      return this.#parts.state.ring;
    }
    return this.#parts.ownershipCheck.running ? undefined : ring;
  }

  /** Why whoever needs addresses in an interval must wait. */
  #reason(bounds: Interval): Reason {
    const { peers } = this.#parts.env;
    const { ring } = this.#parts.state;
    if (ring === undefined) return this.#parts.bootstrap.reason();
    if (this.#parts.ownershipCheck.running) {
      return {
        why: "word from other peers: this one was away, and may have been removed (for some seconds at most)",
        next: "Nothing needs to be done.",
      };
    }
    const takeover = this.#parts.takeovers.status;
    if (takeover !== undefined) {
      return {
        why: `${this.#names(takeover.waiting)} to agree that addresses were taken over ('weave rmpeer')`,
        next: `A peer that is dead for good: 'weave rmpeer ${takeover.waiting[0]}'. One that is alive answers by itself.`,
      };
    }
    const spans = ring.within(bounds);
    const away = [...new Set(spans.map(({ value }) => value.owner))].filter(
      (owner) => !(owner === this.#parts.env.self || peers.reachable().has(owner)),
    );
    const { asked, denied } = this.#parts.donors.progress(bounds);
    const size = spans
      .filter(({ value }) => away.includes(value.owner))
      .reduce((sum, { start, end }) => sum + end - start, 0n);
    const parts = [
      asked === undefined || !peers.reachable().has(asked) ? "" : `the answer of ${peerText(this.#parts.env, asked)}`,
      `an address to become free in ${intervalText(bounds)}${denied > 0 ? `: ${denied} peers have none to give` : ""}`,
      away.length > 0 ? `${size} are owned by ${this.#names(away)}, out of reach` : "",
    ].filter((part) => part !== "");
    return {
      why: asked === undefined ? parts.join("; ") : parts[0],
      next:
        away.length > 0
          ? `If dead for good: 'weave rmpeer ${away[0]}'.`
          : "Free addresses, or ask for a larger subnet; 'weave status ipam' shows who owns what.",
    };
  }

  #names(peers: readonly PeerName[]): string {
    const shown = peers.slice(0, 5).map((peer) => peerText(this.#parts.env, peer));
    return shown.join(", ") + (peers.length > shown.length ? ` and ${peers.length - shown.length} more` : "");
  }

  /** Frees what containers held that have been dead for {@link GRACE_MS}. @throws WEAVE_STORE */
  tick(): void {
    const { env, leases } = this.#parts;
    const now = env.clock.now();
    for (const { ident, died, inDoubt } of [...leases.all()]) {
      if (died === undefined || inDoubt || now - died < GRACE_MS) continue;
      env.log.info("the addresses of a dead container are free again", { ident });
      leases.removeAll(ident);
    }
  }

  /** From now on everything is refused. */
  leave(): void {
    this.#left = true;
    this.#parts.waiting.cancel("this peer leaves the network");
  }
}

function checkIdent(ident: string): void {
  if (!isIdent(ident)) {
    throw new WeaveError("WEAVE_IPAM", `invalid container id: ${JSON.stringify(ident.slice(0, 64))}`, {
      next: "An id is 1 to 255 visible ASCII characters.",
    });
  }
}
