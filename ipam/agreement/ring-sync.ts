import type { Bootstrap } from "#ipam/agreement/bootstrap.js";
import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import { Ring, type Span } from "#ipam/ring/ring.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { type IpamMessage, type RingSummary, ringDigest } from "#ipam/wire/ipam-message.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Limit for full-ring syncs: rings are large, and the changes that one sync brings are gossiped to all peers anyway. */
const FULL_SYNC_RATE = { perSecond: 3, burst: 3 };

export interface RingSyncDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly clock: Clock;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly bootstrap: Bootstrap;
  readonly ownershipCheck: OwnershipCheck;
}

/** Keeps the rings of all peers equal: changes are gossiped, and digests find what was lost. */
export class RingSync {
  readonly #deps: RingSyncDeps;
  readonly #fullSyncs: RateLimiter;
  /** Peers whose ring differs from this one, and with which a full sync is postponed. */
  readonly #postponed = new Set<PeerName>();

  constructor(deps: RingSyncDeps) {
    this.#deps = deps;
    this.#fullSyncs = new RateLimiter(deps.clock, FULL_SYNC_RATE);
  }

  /** The message for new neighbours and for repair: short, because most neighbours have the same ring. */
  announcement(): IpamMessage {
    const { state, bootstrap } = this.#deps;
    const electing = state.ring === undefined && bootstrap.votes.size > 0;
    return electing ? { kind: "election", votes: bootstrap.votes } : ringDigest(state.ring);
  }

  /**
   * A peer has sent its digest. Where rings differ, whole rings are exchanged: when many peers meet at the same time, as
   * after a partition, with a few at first, and with the others after the changes of those have spread.
   */
  compare(from: PeerName, theirs: RingSummary | undefined): void {
    const { ring } = this.#deps.state;
    if (ring === undefined) {
      if (theirs !== undefined) this.#sendDigest(from);
    } else if (theirs === undefined) this.sendRing(from, false);
    else if (theirs.digest !== ring.digest) {
      if (this.#fullSyncs.admit("")) this.sendRing(from, true);
      else this.#postponed.add(from);
    }
  }

  /** @param ask whether the receiver is to send its own ring, if it differs */
  sendRing(to: PeerName, ask: boolean): void {
    const { state, sender } = this.#deps;
    const { ring } = state;
    if (ring !== undefined) sender.unicast(to, { kind: "ring", genesis: ring.genesis, spans: ring.spans, ask });
  }

  /** @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  receiveRing(from: PeerName, { genesis, spans, ask }: Extract<IpamMessage, { kind: "ring" }>): void {
    const { range, state } = this.#deps;
    const theirs = Ring.whole(range, genesis, spans);
    if (theirs === undefined)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM ring does not cover its range exactly once");
    if (state.ring?.id !== theirs.id) this.#adopt(theirs);
    else this.#gossipNews(state.merge(spans));
    if (state.ring?.digest !== theirs.digest && (ask || state.ring?.id !== theirs.id)) this.sendRing(from, false);
  }

  /** Whether an id is that of this peer's ring. If not, the sender receives this peer's digest. */
  isSameRing(from: PeerName, id: string): boolean {
    if (this.#deps.state.ring?.id === id) return true;
    this.#sendDigest(from);
    return false;
  }

  /** Merges spans, and gossips the part that was new. @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  merge(spans: readonly Span[]): void {
    this.#gossipNews(this.#deps.state.merge(spans));
  }

  /** Compares again with the peers whose sync was postponed. */
  tick(): void {
    for (const peer of this.#postponed) this.#sendDigest(peer);
    this.#postponed.clear();
  }

  /** Replaces this peer's ring, or sets the first one, if the other ring wins. */
  #adopt(theirs: Ring): void {
    const { self, state, bootstrap, ownershipCheck, sender } = this.#deps;
    if (!state.losesTo(theirs)) return;
    // This peer owns a part of it, and has no record of its vote: its disk was lost. The check must precede the ring
    // update, which retries blocked requests.
    if (theirs.ownedBy(self).length > 0 && !bootstrap.voted) ownershipCheck.begin();
    state.adopt(theirs);
    sender.gossip(ringDigest(state.ring));
  }

  #gossipNews(spans: readonly Span[]): void {
    const { state, sender } = this.#deps;
    const { ring } = state;
    if (ring !== undefined && spans.length > 0) sender.gossip({ kind: "news", ring: ring.id, spans });
  }

  #sendDigest(to: PeerName): void {
    const { state, sender } = this.#deps;
    sender.unicast(to, ringDigest(state.ring));
  }
}
