import type { Bootstrap } from "#ipam/agreement/bootstrap.js";
import type { Confirmations } from "#ipam/agreement/confirmations.js";
import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { Takeovers } from "#ipam/agreement/takeover.js";
import type { Donors } from "#ipam/allocation/donors.js";
import type { Interval } from "#ipam/ring/interval.js";
import { describePeer, type Reason } from "#ipam/ring/reason.js";
import type { Ring } from "#ipam/ring/ring.js";
import { intervalText } from "#ipam/ring/subnet.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";

/** Maximum number of peers that a reason names; the remaining ones are counted. */
const NAMED = 5;

export interface WaitReasonsDeps {
  readonly self: PeerName;
  readonly peers: KnownPeers;
  readonly state: RingState;
  readonly bootstrap: Bootstrap;
  readonly ownershipCheck: OwnershipCheck;
  readonly takeovers: Takeovers;
  readonly confirmations: Confirmations;
  readonly donors: Donors;
}

/** Explains blocked requests: which peer or event a request waits for, and the command that unblocks it. */
export class WaitReasons {
  readonly #deps: WaitReasonsDeps;

  constructor(deps: WaitReasonsDeps) {
    this.#deps = deps;
  }

  /** Explains why a request is blocked. @param bounds the interval in which the request needs an address */
  reasonFor(bounds: Interval): Reason {
    const { state, bootstrap, ownershipCheck, takeovers } = this.#deps;
    const { ring } = state;
    if (ring === undefined) return bootstrap.reason();
    if (ownershipCheck.running) {
      return {
        why: "confirmation by other peers: this one was away, and may have been removed (for some seconds at most)",
        next: "Nothing needs to be done.",
      };
    }
    const takeover = takeovers.status;
    if (takeover !== undefined) {
      return {
        why: `${this.#names(takeover.waiting)} to agree to a takeover of addresses ('weave rmpeer')`,
        next: `A peer that is dead for good: 'weave rmpeer ${takeover.waiting[0]}'. One that is alive answers by itself.`,
      };
    }
    const { confirmations } = this.#deps;
    if (confirmations.isAwaited(bounds)) {
      return {
        why: `${this.#names(confirmations.awaited)} to confirm addresses that this peer has got (for some seconds at most)`,
        next: "Nothing needs to be done.",
      };
    }
    return this.#noSpace(bounds, ring);
  }

  #noSpace(bounds: Interval, ring: Ring): Reason {
    const { self, peers, donors } = this.#deps;
    const reachable = peers.reachable();
    const spans = ring.within(bounds);
    const owners = [...new Set(spans.map(({ value }) => value.owner))];
    const away = owners.filter((owner) => !(owner === self || reachable.has(owner)));
    const { peer: donor, denied } = donors.progress(bounds);
    const denials = denied === 0 ? "" : `: ${denied} ${denied === 1 ? "peer has" : "peers have"} none to donate`;
    const size = spans
      .filter(({ value }) => away.includes(value.owner))
      .reduce((sum, { start, end }) => sum + end - start, 0n);
    const parts = [
      donor === undefined || !reachable.has(donor) ? "" : `the answer of ${describePeer(peers, donor)}`,
      `an address to become free in ${intervalText(bounds)}${denials}`,
      away.length > 0 ? `${size} are owned by unreachable peers: ${this.#names(away)}` : "",
    ].filter((part) => part !== "");
    return {
      why: donor === undefined ? parts.join("; ") : parts[0],
      next:
        away.length > 0
          ? `If dead for good: 'weave rmpeer ${away[0]}'.`
          : "Free addresses, or use a larger subnet; 'weave status ipam' shows the owners.",
    };
  }

  #names(peers: readonly PeerName[]): string {
    const shown = peers.slice(0, NAMED).map((peer) => describePeer(this.#deps.peers, peer));
    return shown.join(", ") + (peers.length > shown.length ? ` and ${peers.length - shown.length} more` : "");
  }
}
