import type { Clock } from "#src/clock.js";

/**
 * Longest pause between two calls of Docker for one creation. They follow each other at once; the limit is for creations that end
 * without a call: of a network with another driver, or a failed one.
 */
const PAUSE_MS = 2_000;

/**
 * Pools of our IPAM driver whose network Docker is creating. Docker requests the addresses of `--aux-address` without a type, exactly as
 * those of containers (moby, daemon/libnetwork/network.go, ipamAllocateVersion), but between its request for the pool and the creation.
 */
export class NetworkCreations {
  readonly #clock: Clock;
  /** Times of the last calls, in ms, by ids of pools. */
  readonly #last = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Records a call of a creation. */
  touch(pool: string): void {
    const now = this.#clock.now();
    for (const [each, at] of this.#last) if (now - at > PAUSE_MS) this.#last.delete(each);
    this.#last.set(pool, now);
  }

  /** Whether a network with this pool is being created. */
  includes(pool: string): boolean {
    const last = this.#last.get(pool);
    return last !== undefined && this.#clock.now() - last <= PAUSE_MS;
  }

  /** Ends the creations with this pool. */
  end(pool: string): void {
    this.#last.delete(pool);
  }

  /** Ends the creations for which this holds. */
  endWhere(matches: (pool: string) => boolean): void {
    for (const pool of this.#last.keys()) if (matches(pool)) this.#last.delete(pool);
  }
}
