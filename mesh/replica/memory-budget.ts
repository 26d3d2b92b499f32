import type { PeerName } from "#mesh/peer.js";

/** Estimated memory of all replicated sets of a process together, in bytes. */
const TOTAL_BYTES = 92 << 20;
/**
 * Largest part of a set's share that one neighbour may fill: in a chain of hosts one neighbour announces all others. What a hostile one
 * fills, and the garbage that it makes, must stay below 64 MB.
 */
const NEIGHBOUR_PART = 1 / 2;
/** Largest part of a set's share that one origin may fill. */
const ORIGIN_PART = 1 / 4;

/** Why a state does not fit. */
export type Excess = "origin" | "neighbour" | "total";

/**
 * Divides {@link TOTAL_BYTES} among the sets of a process. Each set has a share of its own, so that a flood in one set takes
 * nothing from the others.
 */
export class MemoryBudget {
  #left: number;

  constructor(total = TOTAL_BYTES) {
    this.#left = total;
  }

  /** Returns a new share. @throws RangeError when less is left */
  share(bytes: number): BudgetShare {
    if (bytes > this.#left) throw new RangeError(`only ${this.#left} bytes are left, and a set needs ${bytes}`);
    this.#left -= bytes;
    return new BudgetShare(bytes);
  }
}

/**
 * The memory of one set, in estimated bytes: in total, and for each neighbour that announced it. Each origin is charged to the
 * neighbour that was the first to send its latest state.
 */
export class BudgetShare {
  readonly #bytes: number;
  readonly #neighbours = new Map<PeerName, number>();
  readonly #origins = new Map<PeerName, { readonly neighbour: PeerName | undefined; readonly bytes: number }>();
  #used = 0;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Estimated memory of the set in bytes. */
  get used(): number {
    return this.#used;
  }

  /** Largest estimated memory of an origin in bytes. */
  get perOrigin(): number {
    return this.#bytes * ORIGIN_PART;
  }

  /** Estimated memory that is charged to a neighbour. */
  chargedTo(neighbour: PeerName): number {
    return this.#neighbours.get(neighbour) ?? 0;
  }

  /** The neighbour that is charged with most, and how much; undefined when nothing is charged to any. */
  largestPayer(): { readonly neighbour: PeerName; readonly bytes: number } | undefined {
    let largest: { neighbour: PeerName; bytes: number } | undefined;
    for (const [neighbour, bytes] of this.#neighbours)
      if (bytes > (largest?.bytes ?? 0)) largest = { neighbour, bytes };
    return largest;
  }

  /** What a neighbour would be charged with if it paid `bytes` for an origin. @param neighbour undefined: this peer itself */
  chargeWith(origin: PeerName, neighbour: PeerName | undefined, bytes: number): number {
    if (neighbour === undefined) return bytes;
    return this.chargedTo(neighbour) - (this.payerOf(origin) === neighbour ? this.bytesOf(origin) : 0) + bytes;
  }

  /** The neighbour that an origin is charged to. */
  payerOf(origin: PeerName): PeerName | undefined {
    return this.#origins.get(origin)?.neighbour;
  }

  bytesOf(origin: PeerName): number {
    return this.#origins.get(origin)?.bytes ?? 0;
  }

  /** Why `bytes` for an origin do not fit; undefined when they do. @param neighbour undefined: this peer itself */
  excess(origin: PeerName, neighbour: PeerName | undefined, bytes: number): Excess | undefined {
    const now = this.bytesOf(origin);
    if (bytes > this.perOrigin) return "origin";
    // A state that shrinks always fits.
    if (bytes <= now) return undefined;
    if (this.#used - now + bytes > this.#bytes) return "total";
    if (neighbour === undefined) return undefined;
    return this.chargeWith(origin, neighbour, bytes) > this.#bytes * NEIGHBOUR_PART ? "neighbour" : undefined;
  }

  /** Charges an origin, in place of what was charged for it. @param neighbour undefined: this peer itself */
  charge(origin: PeerName, neighbour: PeerName | undefined, bytes: number): void {
    this.release(origin);
    this.#origins.set(origin, { neighbour, bytes });
    this.#add(neighbour, bytes);
  }

  release(origin: PeerName): void {
    const was = this.#origins.get(origin);
    if (was === undefined) return;
    this.#origins.delete(origin);
    this.#add(was.neighbour, -was.bytes);
  }

  #add(neighbour: PeerName | undefined, bytes: number): void {
    this.#used += bytes;
    if (neighbour === undefined) return;
    const charged = this.chargedTo(neighbour) + bytes;
    if (charged === 0) this.#neighbours.delete(neighbour);
    else this.#neighbours.set(neighbour, charged);
  }
}
