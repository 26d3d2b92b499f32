import type { PeerName } from "#mesh/peer.js";

/**
 * Finds, for each peer, our neighbours on the shortest paths to it: those that are strictly nearer to it than we are. Frames of the peer
 * reach us through one of them, whether we are their destination, a relay, or part of a flood.
 *
 * The search is breadth-first, and each peer gets the union of the neighbours of its predecessors.
 *
 * @param neighbours the links of each peer, which both ends report
 */
export function nearerNeighbours(
  self: PeerName,
  neighbours: ReadonlyMap<PeerName, readonly PeerName[]>,
): Map<PeerName, ReadonlySet<PeerName>> {
  const nearer = new Map<PeerName, Set<PeerName>>();
  let level: PeerName[] = [];
  for (const next of neighbours.get(self) ?? []) {
    nearer.set(next, new Set([next]));
    level.push(next);
  }
  while (level.length > 0) {
    const found = new Map<PeerName, Set<PeerName>>();
    for (const at of level)
      for (const next of neighbours.get(at) ?? []) {
        if (next === self || nearer.has(next)) continue;
        let through = found.get(next);
        if (through === undefined) {
          through = new Set();
          found.set(next, through);
        }
        for (const neighbour of nearer.get(at)!) through.add(neighbour);
      }
    for (const [peer, through] of found) nearer.set(peer, through);
    level = [...found.keys()];
  }
  return nearer;
}
