import { type KnownPeers, type PeerName, peerText } from "#mesh/peer.js";

/** The reason of a wait or a problem, and the step that helps. Log, `status ipam` and errors contain the same text. */
export interface Reason {
  readonly why: string;
  /** The command or change that helps. */
  readonly next: string;
}

/** Formats a peer as `name(nickname)`, for status and messages. */
export function describePeer(peers: KnownPeers, peer: PeerName): string {
  return peerText({ name: peer, nickname: peers.nickname(peer) ?? "?" });
}

/** Formats a duration in milliseconds as `5 s`, `5 min` or `5 h`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
