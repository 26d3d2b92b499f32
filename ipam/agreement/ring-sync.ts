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

/** Rate limit for full-ring syncs: rings are large, and the changes of one sync are gossiped to all peers. */
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

/** Keeps the rings of all peers equal: gossips changes, and repairs losses by digests. */
export class RingSync {
  readonly #deps: RingSyncDeps;
  readonly #fullSyncs: RateLimiter;
  /** Peers with another ring whose full sync is postponed by the rate limit. */
  readonly #postponed = new Set<PeerName>();

  constructor(deps: RingSyncDeps) {
    this.#deps = deps;
    this.#fullSyncs = new RateLimiter(deps.clock, FULL_SYNC_RATE);
  }

  /** Returns the message for new neighbours and for repair: the votes during an election, else a digest of the ring. */
  announcement(): IpamMessage {
    const { state, bootstrap } = this.#deps;
    const electing = state.ring === undefined && bootstrap.votes.size > 0;
    return electing ? { kind: "election", votes: bootstrap.votes } : ringDigest(state.ring);
  }

  /**
   * Handles a peer's digest. If the rings differ, whole rings are exchanged. When many peers connect at the same time, as after a
   * partition, rings are exchanged with a few, and with the others after the changes of these have spread.
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

  /** Sends the whole ring. @param ask whether the receiver must send its own ring if it differs */
  sendRing(to: PeerName, ask: boolean): void {
    const { state, sender } = this.#deps;
    const { ring } = state;
    if (ring !== undefined) sender.unicast(to, { kind: "ring", genesis: ring.genesis, spans: ring.spans, ask });
  }

  /** Handles a peer's whole ring. @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  receiveRing(from: PeerName, { genesis, spans, ask }: Extract<IpamMessage, { kind: "ring" }>): void {
    const { range, state } = this.#deps;
    const theirs = Ring.whole(range, genesis, spans);
    if (theirs === undefined)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM ring does not cover its range exactly once");
    if (state.ring?.id !== theirs.id) this.#adopt(theirs);
    else this.#gossipNews(state.merge(spans));
    if (state.ring?.digest !== theirs.digest && (ask || state.ring?.id !== theirs.id)) this.sendRing(from, false);
  }

  /** Checks the ring id of a message. If it is not this peer's, the sender receives this peer's digest. @returns whether it is the same */
  isSameRing(from: PeerName, id: string): boolean {
    if (this.#deps.state.ring?.id === id) return true;
    this.#sendDigest(from);
    return false;
  }

  /** Merges spans, and gossips the new part. @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  merge(spans: readonly Span[]): void {
    this.#gossipNews(this.#deps.state.merge(spans));
  }

  /** Sends the digest to the peers whose sync was postponed. */
  tick(): void {
    for (const peer of this.#postponed) this.#sendDigest(peer);
    this.#postponed.clear();
  }

  /** Adopts another ring if it wins. */
  #adopt(theirs: Ring): void {
    const { self, state, bootstrap, ownershipCheck, sender } = this.#deps;
    if (!state.losesTo(theirs)) return;
    // If this peer owns spans in the ring but has no stored vote, its disk was lost. The check must begin before the ring is set,
    // which retries blocked requests.
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
