import type { OtherRanges } from "#ipam/agreement/other-ranges.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";

export interface ParticipantsDeps {
  readonly self: PeerName;
  readonly state: RingState;
  readonly otherRanges: OtherRanges;
}

/** The peers that take part in IPAM: those that own addresses, and those that have sent an IPAM message of this range. */
export class Participants {
  readonly #deps: ParticipantsDeps;
  readonly #senders = new Set<PeerName>();

  constructor(deps: ParticipantsDeps) {
    this.#deps = deps;
  }

  /** Records that a peer has sent an IPAM message of this range. */
  note(peer: PeerName): void {
    if (this.#senders.size < MAX_PEERS) this.#senders.add(peer);
  }

  /** Peers that have sent an IPAM message since the start. */
  get senders(): ReadonlySet<PeerName> {
    return this.#senders;
  }

  /** Returns the participants without this peer, and without peers that have another range now. */
  all(): Set<PeerName> {
    const { self, state, otherRanges } = this.#deps;
    const peers = new Set([...(state.ring?.shares().keys() ?? []), ...this.#senders]);
    peers.delete(self);
    for (const peer of otherRanges.peers()) peers.delete(peer);
    return peers;
  }
}
