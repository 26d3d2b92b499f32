import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** Origins that the mesh does not know (yet), and for how long their records are kept. */
const MAX_UNKNOWN = 256;
const UNKNOWN_MS = 15 * 60_000;

export interface OriginLimitDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly peers: KnownPeers;
  /** The records that are kept now. */
  readonly records: { readonly originCount: number; has(origin: PeerName): boolean; drop(origin: PeerName): void };
}

/**
 * Decides of which origins records are kept: of peers that the mesh knows, and for a while of a few others, because
 * records may arrive before the mesh learns of their peer. So forged origins take bounded memory.
 */
export class OriginLimit {
  readonly #deps: OriginLimitDeps;
  /** Unknown origins, and since when their records are kept. */
  readonly #unknown = new Map<PeerName, number>();
  /** Peers that were unreachable for so long that their records were dropped. */
  readonly #forgotten = new Set<PeerName>();

  constructor(deps: OriginLimitDeps) {
    this.#deps = deps;
  }

  /** Whether records of an origin may be kept. */
  admits(origin: PeerName): boolean {
    this.#forgotten.delete(origin);
    const { records, clock } = this.#deps;
    if (records.has(origin)) return true;
    if (records.originCount >= MAX_PEERS) return false;
    if (this.#isKnown(origin)) return true;
    if (this.#unknown.size >= MAX_UNKNOWN) this.tidy();
    if (this.#unknown.size >= MAX_UNKNOWN) return false;
    this.#unknown.set(origin, clock.now());
    return true;
  }

  /** The records of a peer were dropped. Other peers, which forget it later, still send them. */
  forget(origin: PeerName): void {
    this.#forgotten.add(origin);
    if (this.#forgotten.size > MAX_PEERS) this.#forgotten.delete(this.#forgotten.keys().next().value as PeerName);
  }

  wasForgotten(origin: PeerName): boolean {
    return this.#forgotten.has(origin);
  }

  /** Drops the records of origins that the mesh has not learned of in time. */
  tidy(): void {
    const { clock, records } = this.#deps;
    const now = clock.now();
    for (const [origin, since] of this.#unknown) {
      const known = this.#isKnown(origin);
      if (!known && now - since < UNKNOWN_MS) continue;
      this.#unknown.delete(origin);
      if (!known) records.drop(origin);
    }
  }

  #isKnown(origin: PeerName): boolean {
    const { self, peers } = this.#deps;
    return origin === self || peers.reachable().has(origin) || peers.nickname(origin) !== undefined;
  }
}
