import type { KnownPeers } from "#mesh/peer.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** Peers that the mesh does not know (yet), of which names are kept, and for how long. */
const MAX_UNKNOWN = 256;
const UNKNOWN_MS = 15 * 60_000;

export interface RoomOptions {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly peers: KnownPeers;
  /** Peers that records are kept of now. */
  readonly origins: { readonly originCount: number; has(origin: PeerName): boolean };
  readonly drop: (origin: PeerName) => void;
}

/** Of which peers names are kept: those that the mesh knows, and for a while a few of others, as names may come first. */
export class Room {
  readonly #options: RoomOptions;
  /** Since when names of unknown peers are kept. */
  readonly #unknown = new Map<PeerName, number>();
  /** Peers that were out of reach for so long that their names were dropped. */
  readonly #forgotten = new Set<PeerName>();

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Whether names of a peer may be kept. */
  admits(origin: PeerName): boolean {
    this.#forgotten.delete(origin);
    const { origins, clock } = this.#options;
    if (origins.has(origin)) return true;
    if (origins.originCount >= MAX_PEERS) return false;
    if (this.#isKnown(origin)) return true;
    if (this.#unknown.size >= MAX_UNKNOWN) this.tidy();
    if (this.#unknown.size >= MAX_UNKNOWN) return false;
    this.#unknown.set(origin, clock.now());
    return true;
  }

  /** A peer is gone for long. Others, who forget it later, still name it. */
  forget(origin: PeerName): void {
    this.#forgotten.add(origin);
    if (this.#forgotten.size > MAX_PEERS) this.#forgotten.delete(this.#forgotten.keys().next().value as PeerName);
  }

  wasForgotten(origin: PeerName): boolean {
    return this.#forgotten.has(origin);
  }

  /** Drops the names of peers that the mesh has not got to know in time. */
  tidy(): void {
    const { clock, drop } = this.#options;
    const now = clock.now();
    for (const [origin, since] of this.#unknown) {
      const known = this.#isKnown(origin);
      if (!known && now - since < UNKNOWN_MS) continue;
      this.#unknown.delete(origin);
      if (!known) drop(origin);
    }
  }

  #isKnown(origin: PeerName): boolean {
    const { self, peers } = this.#options;
    return origin === self || peers.reachable().has(origin) || peers.nickname(origin) !== undefined;
  }
}
