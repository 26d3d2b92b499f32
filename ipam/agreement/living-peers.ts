import type { Consents } from "#ipam/agreement/consents.js";
import type { TakeoverKey } from "#ipam/ring/consent.js";
import type { Ownership, Ring } from "#ipam/ring/ring.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** Time after the start within which a peer that was not seen yet may still be connecting. */
const SETTLE_MS = 10_000;

/** Time after the start within which this peer may give up what was taken from it before. */
const YIELD_MS = 60_000;

export interface LivingPeersDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly peers: KnownPeers;
  readonly consents: Consents;
}

/**
 * Decides whether another peer's takeover is accepted here. What a living peer owns is not taken by a message:
 *
 *     unreachable       a takeover of a peer that is not reachable from here is accepted, and this peer agrees to it
 *     reachable         it is accepted when the removed peer itself has agreed
 *     this peer         it never agrees while it runs. After a start it does, to a takeover from before that, if the owners of
 *                       at least half of the addresses that it reaches have agreed
 *
 * Addresses are counted, and not peers: a peer that gives single addresses to invented ones gains nothing.
 */
export class LivingPeers {
  readonly #deps: LivingPeersDeps;
  readonly #started: number;
  readonly #startedWall: number;
  /** Peers that were reachable at any time since the start. */
  readonly #seen = new Set<PeerName>();

  constructor(deps: LivingPeersDeps) {
    this.#deps = deps;
    this.#started = deps.clock.now();
    this.#startedWall = deps.clock.wall();
  }

  /** Records which peers are reachable now. Called regularly. */
  look(ring: Ring): void {
    const reachable = this.#deps.peers.reachable();
    for (const peer of ring.shares().keys()) if (reachable.has(peer)) this.#seen.add(peer);
  }

  /** Whether the claim of a takeover is accepted now. @param ring the present one, in which the removed peer owns the addresses */
  mayTakeOver(claim: Ownership, ring: Ring): boolean {
    const { self, consents, peers, clock } = this.#deps;
    const [removed, owner] = [claim.from as PeerName, claim.owner];
    const reachable = peers.reachable();
    const agreed = new Set([...consents.to({ owner, from: removed, since: claim.since }), owner]);
    const age = clock.now() - this.#started;
    if (removed !== self)
      return agreed.has(removed) || (!reachable.has(removed) && (this.#seen.has(removed) || age >= SETTLE_MS));
    if (claim.since * 1_000 >= this.#startedWall || age >= YIELD_MS) return false;
    let balance = 0n;
    for (const [peer, share] of ring.shares())
      if (peer !== self && reachable.has(peer)) balance += agreed.has(peer) ? share : -share;
    return balance >= 0n;
  }

  /** Returns the number of reachable owners that have agreed to a takeover. */
  agreements(value: Ownership | TakeoverKey, ring: Ring): number {
    const { self, consents, peers } = this.#deps;
    if (value.from === undefined) return 0;
    const agreed = new Set([...consents.to(value as TakeoverKey), value.owner]);
    const owners = [...ring.shares().keys()].filter((peer) => peer === self || peers.reachable().has(peer));
    return owners.filter((peer) => agreed.has(peer)).length;
  }
}
