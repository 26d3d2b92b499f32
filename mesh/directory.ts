import type { PeerName } from "#mesh/peer.js";

/** What is known of the other peers, for those who keep data of theirs. */
export interface Directory {
  /** Peers to which there is a way now, without ourselves. */
  reachable(): ReadonlySet<PeerName>;
  /** Undefined for a peer that nobody here has heard of. */
  nickname(peer: PeerName): string | undefined;
}
