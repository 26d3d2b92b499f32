import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { RingSync } from "#ipam/agreement/ring-sync.js";
import type { Stands } from "#ipam/agreement/stands.js";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import { contains } from "#ipam/ring/interval.js";
import { describePeer, type Reason } from "#ipam/ring/reason.js";
import type { Span } from "#ipam/ring/ring.js";
import { addressText, type Subnet } from "#ipam/ring/subnet.js";
import { MAX_KEPT } from "#ipam/wire/ipam-message.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Interval between requests for an address. */
const REPEAT_MS = 5_000;
/** Interval after a refusal: the answer changes only when the owner's container releases the address. */
const REFUSED_REPEAT_MS = 30_000;

/** Addresses that each other peer gets on such a request: after two networks became one it may have many. */
const TRANSFER_RATE = { perSecond: 4, burst: 256 };

interface Contested {
  readonly ident: string;
  /** Monotonic time of the last request to its owner. */
  requestedAt: number;
  /** The owner that has refused the transfer, and the holder at that peer; undefined before a refusal. */
  refused: { readonly owner: PeerName; readonly ident: string } | undefined;
}

/** An address that a container of this host holds, and another peer owns. */
export interface ContestedAddress extends Reason {
  readonly address: string;
  readonly ident: string;
}

export interface ContestedAddressesDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly clock: Clock;
  readonly log: Log;
  readonly peers: KnownPeers;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly leases: LeaseTable;
  readonly stands: Stands;
  readonly sync: RingSync;
  readonly rejections: RejectedMessages;
}

/**
 * Addresses that containers of this host hold in spans of other peers: an operator removed this peer while it was away, or two
 * networks became one. The containers keep running. Each address is requested from its owner, which transfers it unless it has a
 * holder there too; such addresses are reported at both ends.
 */
export class ContestedAddresses {
  readonly #deps: ContestedAddressesDeps;
  #contested = new Map<bigint, Contested>();
  readonly #transfers: RateLimiter;

  constructor(deps: ContestedAddressesDeps) {
    this.#deps = deps;
    this.#transfers = new RateLimiter(deps.clock, TRANSFER_RATE);
  }

  /** Finds the addresses that are contested now, and requests them from their owners. */
  tick(): void {
    const { range, self, clock, peers, sender, state, leases, stands, sync } = this.#deps;
    const { ring } = state;
    const now = clock.now();
    const next = new Map<bigint, Contested>();
    const requests = new Map<PeerName, bigint[]>();
    if (ring !== undefined) {
      for (const [address, ident] of leases.entries()) {
        if (!contains(range, address)) continue;
        const { owner } = ring.at(address).value;
        if (owner === self) continue;
        const contested = this.#contested.get(address) ?? {
          ident,
          requestedAt: Number.NEGATIVE_INFINITY,
          refused: undefined,
        };
        next.set(address, contested);
        if (contested.refused !== undefined && contested.refused.owner !== owner) contested.refused = undefined;
        const pause = contested.refused === undefined ? REPEAT_MS : REFUSED_REPEAT_MS;
        if (now - contested.requestedAt < pause || !peers.reachable().has(owner)) continue;
        contested.requestedAt = now;
        requests.set(owner, [...(requests.get(owner) ?? []), address]);
      }
    }
    this.#contested = next;
    for (const [owner, addresses] of requests) {
      sync.sendFormer(owner);
      sender.unicast(owner, { kind: "keep", addresses: addresses.slice(0, MAX_KEPT), former: stands.former });
    }
  }

  /**
   * Answers a peer that requests addresses of this peer: those without a holder here, and that the other peer has owned, are
   * transferred. One that comes from another ring has owned them there.
   *
   * @param isUnseen whether it names another ring which this peer has not seen: that follows
   * @throws WEAVE_STORE
   */
  transfer(to: PeerName, addresses: readonly bigint[], isUnseen = false): void {
    const { range, log, peers, sender, state, leases, stands, rejections } = this.#deps;
    const { ring, space } = state;
    if (ring === undefined) return;
    const transfers: Span[] = [];
    const held: { address: bigint; ident: string }[] = [];
    for (const address of [...new Set(addresses)].sort((a, b) => (a < b ? -1 : 1))) {
      if (!contains(range, address) || !space.owns(address)) continue;
      const holder = leases.holderOf(address);
      // What is asked for in time, and has a holder here, is transferred when that one ends.
      const isItsOwn = state.deeds.hasOwned(ring, to, address) || stands.hasBrought(to, address);
      if (holder !== undefined) held.push({ address, ident: holder.ident });
      else if (!isItsOwn) rejections.note(isUnseen || stands.hasMoved(to) ? "other ring" : "not its own", to);
      else if (this.#transfers.admit(to)) {
        const value = state.successor(ring.at(address).value, { owner: to, cause: "kept" });
        transfers.push({ start: address, end: address + 1n, value });
      }
    }
    if (transfers.length > 0) state.decide(transfers, to);
    if (held.length > 0) {
      sender.unicast(to, { kind: "kept", held });
      log.warn("addresses are held twice", {
        peer: describePeer(peers, to),
        addresses: held.map(({ address, ident }) => `${addressText(address)} (here by ${ident})`),
      });
    }
  }

  /** Records that an owner has refused to transfer addresses. @param held the addresses and their holders there */
  refused(from: PeerName, held: readonly { readonly address: bigint; readonly ident: string }[]): void {
    for (const { address, ident } of held) {
      const contested = this.#contested.get(address);
      if (contested !== undefined) contested.refused = { owner: from, ident };
    }
  }

  /** Describes all contested addresses. */
  status(): ContestedAddress[] {
    const { peers, state } = this.#deps;
    const { ring } = state;
    return [...this.#contested].map(([address, { ident, refused }]) => {
      const text = addressText(address);
      const owner = ring === undefined ? "another peer" : describePeer(peers, ring.at(address).value.owner);
      if (refused === undefined) {
        return {
          address: text,
          ident,
          why: `${text} of ${ident} belongs to ${owner} now; this peer requests it`,
          next: "Nothing needs to be done while that peer is reachable; 'weave ipam explain' shows the history.",
        };
      }
      return {
        address: text,
        ident,
        why: `${text} of ${ident} is held by ${refused.ident} at ${owner} too`,
        next: `Give one of the two another address: 'weave detach' and 'weave attach' it again.`,
      };
    });
  }
}
