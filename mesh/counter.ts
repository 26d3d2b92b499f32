/**
 * Largest counter in messages of other peers: incarnations, versions, epochs, rounds. It is far above every counter of an honest
 * peer (milliseconds since 1970 need 41 bits), and far below 2^53, from which adding one has no effect.
 */
export const MAX_COUNT = 2 ** 48;

/**
 * Largest difference by which a counter of another peer may exceed the network's time, in milliseconds. Clocks of sound hosts
 * differ by less. The bound moves with time, so that the owner of a counter can soon exceed a value that a hostile peer has sent.
 */
export const MAX_AHEAD_MS = 24 * 3_600_000;

/** Returns the next value of a counter. It does not exceed {@link MAX_COUNT}, because all peers reject larger values. */
export function successor(count: number): number {
  return Math.min(MAX_COUNT, count + 1);
}

/**
 * Computes the network's time, by which counters are checked: this host's clock, or the lower median of the neighbours' clocks if
 * that is later (boards without a battery start in the past). Less than half of the neighbours cannot advance the median.
 *
 * @param ownWall,neighbours milliseconds since the Unix epoch
 */
export function meshTime(ownWall: number, neighbours: readonly number[]): number {
  const sorted = [...neighbours].sort((a, b) => a - b);
  return Math.max(ownWall, sorted[(sorted.length - 1) >> 1] ?? 0);
}
