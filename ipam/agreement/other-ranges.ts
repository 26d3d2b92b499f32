import type { Reason } from "#ipam/allocation/wait-queue.js";
import { overlap } from "#ipam/ring/interval.js";
import { parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import { peerText, type Surroundings } from "#ipam/surroundings.js";
import type { RingSummary } from "#ipam/wire/ipam-message.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";

interface Rival {
  readonly range: Subnet;
  readonly ring: RingSummary | undefined;
}

/**
 * Peers that were launched with another range. They are on our network, and their rings and ours never meet: nobody may
 * hand out an address twice, so of two ranges that overlap one gives way, the same at both ends, and says so.
 */
export class OtherRanges {
  readonly #env: Surroundings;
  readonly #otherRanges = new Map<PeerName, Rival>();

  constructor(env: Surroundings) {
    this.#env = env;
  }

  /** A peer has another range. One that is no range is not worth a note. */
  note(peer: PeerName, range: string, ring: RingSummary | undefined): void {
    let subnet: Subnet;
    try {
      subnet = parseSubnet(range);
    } catch {
      return;
    }
    if (!this.#otherRanges.has(peer)) {
      if (this.#otherRanges.size >= MAX_PEERS) return;
      this.#env.log.warn("a peer allocates from another range", {
        peer: peerText(this.#env, peer),
        theirs: subnet.text,
        ours: this.#env.range.text,
      });
    }
    this.#otherRanges.set(peer, { range: subnet, ring });
  }

  peers(): Iterable<PeerName> {
    return this.#otherRanges.keys();
  }

  forget(peer: PeerName): void {
    this.#otherRanges.delete(peer);
  }

  tidy(): void {
    const reachable = this.#env.peers.reachable();
    for (const peer of this.#otherRanges.keys()) if (!reachable.has(peer)) this.#otherRanges.delete(peer);
  }

  /** @throws WEAVE_IPAM_RANGE when somebody's range overlaps ours and holds against it */
  check(ours: RingSummary | undefined): void {
    for (const [peer, rival] of this.#otherRanges) {
      if (!this.#losesTo(rival, ours)) continue;
      const { why, next } = this.#reason(peer, rival);
      throw new WeaveError("WEAVE_IPAM_RANGE", `no address is handed out here: ${why}`, { next });
    }
  }

  status(ours: RingSummary | undefined): Reason[] {
    return [...this.#otherRanges].map(([peer, rival]) => {
      const { why, next } = this.#reason(peer, rival);
      const effect = this.#losesTo(rival, ours) ? "; until then no address is handed out here" : "";
      return { why: why + effect, next };
    });
  }

  #losesTo({ range, ring }: Rival, ours: RingSummary | undefined): boolean {
    if (overlap(range, this.#env.range) === undefined) return false;
    return compare({ range, ring }, { range: this.#env.range, ring: ours }) > 0;
  }

  #reason(peer: PeerName, { range }: Rival): Reason {
    const ours = this.#env.range.text;
    return {
      why: `peer ${peerText(this.#env, peer)} was launched with --ipalloc-range ${range.text}, this one with ${ours}`,
      next: `Relaunch one of them ('weave stop', 'weave launch') with the other's range.`,
    };
  }
}

/** A ring that is there beats none; then as rings do among themselves; the text decides what is left. */
function compare(a: Rival, b: Rival): number {
  return (
    Number(a.ring !== undefined) - Number(b.ring !== undefined) ||
    (a.ring?.peers ?? 0) - (b.ring?.peers ?? 0) ||
    (b.ring?.at ?? 0) - (a.ring?.at ?? 0) ||
    (a.range.text < b.range.text ? 1 : -1)
  );
}
