import { randomBytes, randomInt } from "node:crypto";

/** Randomness as the pure parts see it: injected, so that a simulation can be replayed from its seed. */
export interface Random {
  bytes(count: number): Uint8Array;
  /** A whole number in [0, limit). */
  below(limit: number): number;
}

/** The operating system's generator. */
export const systemRandom: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  below: (limit) => randomInt(limit),
};

/** `count` different members of `from`, in random order (Fisher and Yates). */
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
