import { overlap } from "#ipam/ring/interval.js";
import { describePeer, type Reason } from "#ipam/ring/reason.js";
import { parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import type { RingSummary } from "#ipam/wire/ipam-message.js";
import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** A range, and the ring of the peers that have it. */
interface RangeState {
  readonly range: Subnet;
  readonly ring: RingSummary | undefined;
}

export interface OtherRangesDeps {
  /** This peer's range. */
  readonly range: Subnet;
  readonly peers: KnownPeers;
  readonly log: Log;
}

/**
 * Peers that were launched with another range. They are on the same network, and their rings never merge with this one. No
 * address may be allocated twice: so of two ranges that overlap one is blocked, the same at both ends, and reports it.
 */
export class OtherRanges {
  readonly #deps: OtherRangesDeps;
  readonly #states = new Map<PeerName, RangeState>();

  constructor(deps: OtherRangesDeps) {
    this.#deps = deps;
  }

  /** A peer has sent another range. Text that is no range is ignored. */
  note(peer: PeerName, range: string, ring: RingSummary | undefined): void {
    let subnet: Subnet;
    try {
      subnet = parseSubnet(range);
    } catch {
      return;
    }
    if (!this.#states.has(peer)) {
      if (this.#states.size >= MAX_PEERS) return;
      const { log, peers, range: ours } = this.#deps;
      log.warn("a peer allocates from another range", {
        peer: describePeer(peers, peer),
        theirs: subnet.text,
        ours: ours.text,
      });
    }
    this.#states.set(peer, { range: subnet, ring });
  }

  peers(): Iterable<PeerName> {
    return this.#states.keys();
  }

  forget(peer: PeerName): void {
    this.#states.delete(peer);
  }

  /** Forgets unreachable peers. */
  tidy(): void {
    const reachable = this.#deps.peers.reachable();
    for (const peer of this.#states.keys()) if (!reachable.has(peer)) this.#states.delete(peer);
  }

  /** @throws WEAVE_IPAM_RANGE when another peer's range overlaps this peer's and wins against it */
  check(ours: RingSummary | undefined): void {
    for (const [peer, state] of this.#states) {
      if (!this.#losesTo(state, ours)) continue;
      const { why, next } = this.#reason(peer, state);
      throw new WeaveError("WEAVE_IPAM_RANGE", `no address is allocated here: ${why}`, { next });
    }
  }

  status(ours: RingSummary | undefined): Reason[] {
    return [...this.#states].map(([peer, state]) => {
      const { why, next } = this.#reason(peer, state);
      const effect = this.#losesTo(state, ours) ? "; until then no address is allocated here" : "";
      return { why: why + effect, next };
    });
  }

  #losesTo({ range, ring }: RangeState, ours: RingSummary | undefined): boolean {
    if (overlap(range, this.#deps.range) === undefined) return false;
    return compare({ range, ring }, { range: this.#deps.range, ring: ours }) > 0;
  }

  #reason(peer: PeerName, { range }: RangeState): Reason {
    const { peers, range: ours } = this.#deps;
    return {
      why: `peer ${describePeer(peers, peer)} was launched with --ipalloc-range ${range.text}, this one with ${ours.text}`,
      next: `Relaunch one of them ('weave stop', 'weave launch') with the other's range.`,
    };
  }
}

/** A range with a ring wins against one without; then rings are compared as within a range; the text decides what is left. */
function compare(a: RangeState, b: RangeState): number {
  return (
    Number(a.ring !== undefined) - Number(b.ring !== undefined) ||
    (a.ring?.peers ?? 0) - (b.ring?.peers ?? 0) ||
    (b.ring?.at ?? 0) - (a.ring?.at ?? 0) ||
    (a.range.text < b.range.text ? 1 : -1)
  );
}
