import { overlap } from "#ipam/ring/interval.js";
import { describePeer, type Reason } from "#ipam/ring/reason.js";
import { parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import type { RingSummary } from "#ipam/wire/ipam-message.js";
import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** The range of a peer, and a summary of its ring. */
interface RangeState {
  readonly range: Subnet;
  readonly ring: RingSummary | undefined;
  /** Whether the peer has signed that it stands by that ring. */
  readonly signed: boolean;
}

export interface OtherRangesDeps {
  /** This peer's range. */
  readonly range: Subnet;
  readonly peers: KnownPeers;
  readonly log: Log;
  /** Returns the number of reachable peers of this peer's own ring, itself included. */
  readonly members: () => number;
}

/**
 * Peers of this network that were launched with another range. Rings of different ranges never merge. No address may be allocated
 * twice: of two overlapping ranges one is blocked, the same one at both ends, and the block is reported.
 */
export class OtherRanges {
  readonly #deps: OtherRangesDeps;
  readonly #states = new Map<PeerName, RangeState>();

  constructor(deps: OtherRangesDeps) {
    this.#deps = deps;
  }

  /** Records another peer's range. Text that is no range is ignored. @param signed whether the peer has signed that its ring is this */
  note(peer: PeerName, range: string, ring: RingSummary | undefined, signed: boolean): void {
    let subnet: Subnet;
    try {
      subnet = parseSubnet(range);
    } catch {
      return;
    }
    // A peer without a known identity blocks nothing: its name may be invented.
    if (this.#deps.peers.identity(peer) === undefined) return;
    if (!this.#states.has(peer)) {
      if (this.#states.size >= MAX_PEERS) return;
      const { log, peers, range: ours } = this.#deps;
      log.warn("a peer allocates from another range", {
        peer: describePeer(peers, peer),
        theirs: subnet.text,
        ours: ours.text,
      });
    }
    this.#states.set(peer, { range: subnet, ring, signed });
  }

  /** Returns the peers with another range. */
  peers(): Iterable<PeerName> {
    return this.#states.keys();
  }

  /** Removes a peer, which has the same range now. */
  forget(peer: PeerName): void {
    this.#states.delete(peer);
  }

  /** Removes unreachable peers. */
  tidy(): void {
    const reachable = this.#deps.peers.reachable();
    for (const peer of this.#states.keys()) if (!reachable.has(peer)) this.#states.delete(peer);
  }

  /** Checks that this peer's range is not blocked. @throws WEAVE_IPAM_RANGE when it overlaps another peer's range, which wins */
  check(ours: RingSummary | undefined): void {
    for (const [peer, state] of this.#states) {
      if (!this.#losesTo(state, ours)) continue;
      const { why, next } = this.#reason(peer, state);
      throw new WeaveError("WEAVE_IPAM_RANGE", `no address is allocated here: ${why}`, { next });
    }
  }

  /** Describes each peer with another range. */
  status(ours: RingSummary | undefined): Reason[] {
    return [...this.#states].map(([peer, state]) => {
      const { why, next } = this.#reason(peer, state);
      const effect = this.#losesTo(state, ours) ? "; until then no address is allocated here" : "";
      return { why: why + effect, next };
    });
  }

  /** Whether a range wins against this peer's: more reachable peers have signed a ring of it, or as many and its ring wins. */
  #losesTo({ range, ring, signed }: RangeState, ours: RingSummary | undefined): boolean {
    if (overlap(range, this.#deps.range) === undefined || (ring !== undefined && !signed)) return false;
    const own = ours === undefined ? 0 : this.#deps.members();
    const theirs = [...this.#states.values()].filter((each) => each.signed && each.range.text === range.text).length;
    if (own > 0 && theirs !== own) return theirs > own;
    return compare({ range, ring, signed }, { range: this.#deps.range, ring: ours, signed: true }) > 0;
  }

  #reason(peer: PeerName, { range }: RangeState): Reason {
    const { peers, range: ours } = this.#deps;
    return {
      why: `peer ${describePeer(peers, peer)} was launched with --ipalloc-range ${range.text}, this one with ${ours.text}`,
      next: `Relaunch one of them ('weave stop', 'weave launch') with the other's range.`,
    };
  }
}

/** Compares two ranges; the higher one wins: one with a ring, then the ring of more peers, then the older ring, then the lower text. */
function compare(a: RangeState, b: RangeState): number {
  return (
    Number(a.ring !== undefined) - Number(b.ring !== undefined) ||
    (a.ring?.peers ?? 0) - (b.ring?.peers ?? 0) ||
    (b.ring?.at ?? 0) - (a.ring?.at ?? 0) ||
    (a.range.text < b.range.text ? 1 : -1)
  );
}
