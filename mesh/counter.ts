/**
 * Counters in messages of other peers: incarnations, versions, epochs, rounds. Far above what an honest peer reaches
 * (milliseconds since 1970 need 41 bits), and far below 2^53, where adding one changes nothing.
 */
export const MAX_COUNT = 2 ** 48;

/**
 * How far ahead of the network's time a counter of another peer may be, in milliseconds. Clocks of sound hosts differ by
 * less. As this bound moves with time, the owner of a counter can soon exceed any value that a hostile peer sends.
 */
export const MAX_AHEAD_MS = 24 * 3_600_000;

/** The next value. It stays at the limit: all peers reject a larger one. */
export function successor(count: number): number {
  return Math.min(MAX_COUNT, count + 1);
}

/**
 * The time of the network, by which counters are judged: our own clock, or that of the neighbours where ours is behind (boards
 * without a battery start in the past). Of the neighbours the lower median counts: fewer than half of them cannot advance it.
 *
 * @param ownWall,neighbours milliseconds since the Unix epoch
 */
export function meshTime(ownWall: number, neighbours: readonly number[]): number {
  const sorted = [...neighbours].sort((a, b) => a - b);
  return Math.max(ownWall, sorted[(sorted.length - 1) >> 1] ?? 0);
}
