import type { Consents } from "#ipam/agreement/consents.js";
import type { TakeoverKey } from "#ipam/ring/consent.js";
import type { Ownership, Ring } from "#ipam/ring/ring.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** Time after the start within which a peer that was not seen yet may still be connecting. */
const SETTLE_MS = 10_000;

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
 *     reachable         it is accepted when the removed peer itself has agreed, or more owners have agreed than have not
 *     this peer         it gives its addresses up when more of the owners that it reaches have agreed than not.
 *                       If it was down at that time, as many suffice
 *
 * Only owners of addresses are counted: invented peers own nothing.
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
    if (removed !== self) {
      const settled = this.#seen.has(removed) || clock.now() - this.#started >= SETTLE_MS;
      if (agreed.has(removed) || (!reachable.has(removed) && settled)) return true;
    }
    // Whether this peer was running at that time, and so has seen whether the removed one was alive.
    const present = claim.since * 1_000 >= this.#startedWall;
    const voters = [...ring.shares().keys()].filter((peer) => reachable.has(peer) && peer !== removed);
    const yes = voters.filter((peer) => agreed.has(peer)).length;
    let no = voters.length - yes;
    if (removed === self) return present ? yes > no : yes >= no;
    if (present && !agreed.has(self)) no++;
    if (reachable.has(removed)) no++;
    return yes > no;
  }

  /** Whether the removed peer has agreed to a takeover, or more of the reachable owners have than have not. */
  isAgreed(takeover: TakeoverKey, ring: Ring): boolean {
    const { self, consents, peers } = this.#deps;
    if (consents.to(takeover).has(takeover.from)) return true;
    const voters = new Set([...ring.shares().keys(), takeover.from]);
    const reachable = [...voters].filter((peer) => peer === self || peers.reachable().has(peer));
    return 2 * this.agreements(takeover, ring) > reachable.length;
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
