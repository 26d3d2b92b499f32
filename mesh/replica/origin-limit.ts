import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

/** Maximum number of origins that the mesh does not know. */
const MAX_UNKNOWN = 256;
/** Time for which the records of an unknown origin are kept. */
const UNKNOWN_MS = 15 * 60_000;

export interface OriginLimitDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly peers: KnownPeers;
  /** The set of records. */
  readonly records: { readonly originCount: number; has(origin: PeerName): boolean; drop(origin: PeerName): void };
}

/**
 * Limits the origins whose records are kept: known peers of the mesh, and for a while a few others, because records may arrive
 * before the mesh learns of their peer. Forged origins therefore take bounded memory.
 */
export class OriginLimit {
  readonly #deps: OriginLimitDeps;
  /** Unknown origins, with the monotonic time at which their first records arrived. */
  readonly #unknown = new Map<PeerName, number>();
  /** Origins whose records were dropped because the peer was unreachable for long. */
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

  /** Records that an origin's records were dropped. Peers that forget the origin later still send them. */
  forget(origin: PeerName): void {
    this.#forgotten.add(origin);
    limitSize(this.#forgotten, MAX_PEERS);
  }

  /** Whether an origin's records were dropped, and none were admitted since. */
  wasForgotten(origin: PeerName): boolean {
    return this.#forgotten.has(origin);
  }

  /** Drops the records of origins that are unknown for longer than {@link UNKNOWN_MS}. */
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
