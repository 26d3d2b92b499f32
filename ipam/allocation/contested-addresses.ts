import type { RingState } from "#ipam/agreement/ring-state.js";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import type { Reason } from "#ipam/allocation/wait-queue.js";
import { contains } from "#ipam/ring/interval.js";
import type { Span } from "#ipam/ring/ring.js";
import { addressText } from "#ipam/ring/subnet.js";
import { peerText, type Surroundings } from "#ipam/surroundings.js";
import type { PeerName } from "#mesh/peer.js";

const REPEAT_MS = 5_000;
/** Where the owner's own container holds it, the answer changes only when that ends. */
const REFUSED_REPEAT_MS = 30_000;

interface Contested {
  readonly ident: string;
  asked: number;
  /** Who holds it at the owner's, if that is why it does not leave it to us. */
  refused: { readonly owner: PeerName; readonly ident: string } | undefined;
}

/** An address that a container here holds, and that belongs to another peer. */
export interface ContestedAddress extends Reason {
  readonly address: string;
  readonly ident: string;
}

/**
 * Addresses that our containers hold in ranges that are not ours any more: an operator removed this peer while it was
 * away, or two networks became one. The containers keep running; the owner is asked to leave us each address that nobody
 * of its own holds; what it cannot leave is named on both sides.
 */
export class ContestedAddresses {
  readonly #env: Surroundings;
  readonly #state: RingState;
  readonly #leases: LeaseTable;
  #contested = new Map<bigint, Contested>();

  constructor(env: Surroundings, state: RingState, leases: LeaseTable) {
    this.#env = env;
    this.#state = state;
    this.#leases = leases;
  }

  /** Looks which addresses are contested now, and asks for them. */
  tick(): void {
    const { ring } = this.#state;
    const { self, range, clock, peers } = this.#env;
    const now = clock.now();
    const next = new Map<bigint, Contested>();
    const asks = new Map<PeerName, bigint[]>();
    if (ring !== undefined) {
      for (const [address, ident] of this.#leases.addresses()) {
        if (!contains(range, address)) continue;
        const { owner } = ring.at(address).value;
        if (owner === self) continue;
        const contested = this.#contested.get(address) ?? { ident, asked: -1e9, refused: undefined };
        next.set(address, contested);
        if (contested.refused !== undefined && contested.refused.owner !== owner) contested.refused = undefined;
        const pause = contested.refused === undefined ? REPEAT_MS : REFUSED_REPEAT_MS;
        if (now - contested.asked < pause || !peers.reachable().has(owner)) continue;
        contested.asked = now;
        asks.set(owner, [...(asks.get(owner) ?? []), address]);
      }
    }
    this.#contested = next;
    for (const [owner, addresses] of asks) this.#env.unicast(owner, { kind: "keep", addresses });
  }

  /** A peer asks to keep addresses that are ours. @throws WEAVE_STORE */
  leave(from: PeerName, addresses: readonly bigint[]): void {
    const { ring, space } = this.#state;
    if (ring === undefined) return;
    const grants: Span[] = [];
    const held: { address: bigint; ident: string }[] = [];
    for (const address of [...new Set(addresses)].sort((a, b) => (a < b ? -1 : 1))) {
      if (!contains(this.#env.range, address) || !space.owns(address)) continue;
      const holder = this.#leases.holderOf(address);
      if (holder !== undefined) held.push({ address, ident: holder.ident });
      else {
        const { value } = ring.at(address);
        grants.push({
          start: address,
          end: address + 1n,
          value: this.#state.successor(value, { owner: from, cause: "kept" }),
        });
      }
    }
    if (grants.length > 0) this.#state.decide(grants, from);
    if (held.length > 0) {
      this.#env.unicast(from, { kind: "kept", held });
      this.#env.log.warn("addresses are held twice", {
        peer: peerText(this.#env, from),
        addresses: held.map(({ address, ident }) => `${addressText(address)} (here by ${ident})`),
      });
    }
  }

  refused(from: PeerName, held: readonly { readonly address: bigint; readonly ident: string }[]): void {
    for (const { address, ident } of held) {
      const contested = this.#contested.get(address);
      if (contested !== undefined) contested.refused = { owner: from, ident };
    }
  }

  status(): ContestedAddress[] {
    const { ring } = this.#state;
    return [...this.#contested].map(([address, { ident, refused }]) => {
      const text = addressText(address);
      const owner = ring === undefined ? "another peer" : peerText(this.#env, ring.at(address).value.owner);
      if (refused === undefined) {
        return {
          address: text,
          ident,
          why: `${text} of ${ident} belongs to ${owner} now, which is asked to leave it to us`,
          next: "Nothing needs to be done while that peer is within reach; 'weave ipam explain' tells how it came.",
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
