import { randomBytes, randomInt } from "node:crypto";

/** Randomness for the pure folders. It is injected, so that a simulation can be replayed from its seed. */
export interface Random {
  bytes(count: number): Uint8Array;
  /** Returns a whole number in [0, limit). */
  below(limit: number): number;
}

/** The operating system's random generator. */
export const systemRandom: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  below: (limit) => randomInt(limit),
};

/** Returns `count` different members of `from`, or all if there are fewer, in random order (Fisher-Yates shuffle). */
export function sample<T>(random: Random, from: readonly T[], count: number): T[] {
  const pool = [...from];
  const picked: T[] = [];
  while (picked.length < count && pool.length > 0) {
    const index = random.below(pool.length);
    picked.push(pool[index]);
    pool[index] = pool[pool.length - 1];
    pool.pop();
  }
  return picked;
}
