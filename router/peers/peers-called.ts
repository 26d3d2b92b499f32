import type { PeerRecord } from "#mesh/peer.js";

type Named = Pick<PeerRecord, "name" | "nickname">;

/** The peers that a user calls `text`: the one with this name, else those with this nickname, which several may have. */
export function peersCalled<Peer extends Named>(text: string, peers: readonly Peer[]): readonly Peer[] {
  const named = peers.filter(({ name }) => name === text.toLowerCase());
  return named.length > 0 ? named : peers.filter(({ nickname }) => nickname === text);
}

/** What helps where several peers are called the same. */
export const nameOneOf = (peers: readonly Named[]): string => `Name one: ${peers.map(({ name }) => name).join(", ")}`;
