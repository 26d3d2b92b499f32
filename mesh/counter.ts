/**
 * Counters in messages of other peers: incarnations, versions, epochs, rounds. Far above what an honest peer reaches
 * (milliseconds since 1970 need 41 bits), and far below 2^53, where adding one changes nothing.
 */
export const MAX_COUNT = 2 ** 48;

/**
 * How far ahead of our time a counter of another peer may be. Clocks of sound hosts differ by less. As this bound moves
 * with time, whatever a hostile peer sends can be exceeded a moment later by the peer that owns the counter.
 */
export const MAX_AHEAD_MS = 24 * 3_600_000;

/** The next value; at the limit it stays there, as a larger one would be refused by all. */
export function successor(count: number): number {
  return Math.min(MAX_COUNT, count + 1);
}

/**
 * The time that counters are judged by: our own clock, or that of the neighbours where ours is behind (boards without a
 * battery start in the past). Of the neighbours the lower median counts: less than half of them cannot move it forward.
 */
export function meshTime(ownWall: number, neighbours: readonly number[]): number {
  const sorted = [...neighbours].sort((a, b) => a - b);
  return Math.max(ownWall, sorted[(sorted.length - 1) >> 1] ?? 0);
}
