import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { Stands } from "#ipam/agreement/stands.js";
import { compareGenesis, type Ring } from "#ipam/ring/ring.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";
import type { Log } from "#src/log.js";

/** Age from which a ring counts as established. */
const ESTABLISHED_MS = 300_000;
/** Time for which more peers must stand by another ring before it displaces an established one: the operator is warned meanwhile. */
const PERSIST_MS = 60_000;
/** Time for which a single peer must stand by a ring of unknown origin before a peer without a ring takes it. */
const SINGLE_MS = 30_000;
/** Maximum number of other rings that are observed. */
const MAX_RIVALS = 16;

export interface OriginsDeps {
  readonly self: PeerName;
  readonly peers: KnownPeers;
  readonly clock: Clock;
  readonly log: Log;
  readonly stands: Stands;
  readonly rejections: RejectedMessages;
}

/**
 * Decides between rings of different origins, which never merge: networks that were divided apart, and a ring that a hostile peer
 * has invented. The one that more reachable peers stand by wins, each by its signature; of two with equally many the order of
 * {@link compareGenesis} decides. An established ring with other living members is displaced only after a minute of warnings.
 */
export class Origins {
  readonly #deps: OriginsDeps;
  /** Monotonic time since when another ring outweighs this peer's. */
  readonly #rivals = new Map<string, number>();
  /** The present ring, and the monotonic time since when. */
  #present: { id: string; since: number } | undefined;

  constructor(deps: OriginsDeps) {
    this.#deps = deps;
  }

  /** Records the present ring. @param stored whether it comes from the disk, and counts as established */
  look(ring: Ring, stored = false): void {
    if (this.#present?.id === ring.id) return;
    const now = this.#deps.clock.now();
    this.#present = { id: ring.id, since: stored ? now - ESTABLISHED_MS : now };
    this.#rivals.clear();
  }

  /** Whether another ring displaces the present one now. @param from the peer that sent it */
  displaces(ours: Ring | undefined, theirs: Ring, from: PeerName): boolean {
    if (ours === undefined) return this.#isCredible(theirs, from);
    this.look(ours);
    const { clock, stands, rejections } = this.#deps;
    const [behind, own] = [stands.behind(theirs.id), stands.behindOwn(ours)];
    const winsTie = this.#isKnown(theirs) && compareGenesis(theirs.genesis, ours.genesis) > 0;
    if (behind < own || (behind === own && !winsTie)) {
      this.#rivals.delete(theirs.id);
      if (behind < own) rejections.note("other ring", from);
      return false;
    }
    const age = clock.now() - (this.#present?.since ?? 0);
    return own === 1 || age < ESTABLISHED_MS || this.#persists(theirs, from);
  }

  /**
   * Whether a peer without a ring takes this one: half of the peers of its origin are known by identity, or half of the reachable peers
   * stand by it, a single one for some time. Otherwise one message would divide the range of a new network among invented peers.
   */
  #isCredible(theirs: Ring, from: PeerName): boolean {
    const { clock, peers, stands, rejections } = this.#deps;
    if (this.#isKnown(theirs)) return true;
    const behind = stands.behind(theirs.id);
    const since = this.#rivals.get(theirs.id) ?? clock.now();
    this.#rivals.set(theirs.id, since);
    limitSize(this.#rivals, MAX_RIVALS);
    if (2 * behind >= peers.reachable().size && (behind > 1 || clock.now() - since >= SINGLE_MS)) return true;
    rejections.note("other ring", from);
    return false;
  }

  /** Whether half of the peers of a ring's origin are known by identity. */
  #isKnown({ genesis }: Ring): boolean {
    const { self, peers } = this.#deps;
    const known = genesis.peers.filter((peer) => peer === self || peers.identity(peer) !== undefined);
    return 2 * known.length >= genesis.peers.length;
  }

  #persists(theirs: Ring, from: PeerName): boolean {
    const { clock, log, rejections } = this.#deps;
    const since = this.#rivals.get(theirs.id);
    if (since !== undefined && clock.now() - since >= PERSIST_MS) return true;
    if (since === undefined) {
      this.#rivals.set(theirs.id, clock.now());
      limitSize(this.#rivals, MAX_RIVALS);
      log.warn("more peers stand by another division of the range, which displaces this one in a minute", {
        theirs: theirs.genesis.peers.slice(0, 8),
      });
    }
    rejections.note("other ring", from);
    return false;
  }
}
