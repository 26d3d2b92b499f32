import type { Bootstrap } from "#ipam/agreement/bootstrap.js";
import type { Consents } from "#ipam/agreement/consents.js";
import type { Origins } from "#ipam/agreement/origins.js";
import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { Stands } from "#ipam/agreement/stands.js";
import { takeoversOf } from "#ipam/ring/consent.js";
import { isClaim } from "#ipam/ring/deed.js";
import { sorted } from "#ipam/ring/interval.js";
import { compareOwnership, Ring, type Span } from "#ipam/ring/ring.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { byRank } from "#ipam/ring/titles.js";
import { type IpamMessage, MAX_PARTS, type RingSummary, ringSummary } from "#ipam/wire/ipam-message.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Rate limit for full-ring syncs: rings are large, and the changes of one sync are gossiped to all peers. */
const FULL_SYNC_RATE = { perSecond: 3, burst: 3 };

/** Rate limit for answers with titles to each peer; and their number of messages. */
const TITLE_RATE = { perSecond: 2, burst: 8 };
const MAX_MESSAGES = 16;
/** Rate limit for sending this ring to each peer with a ring of another origin. */
const RIVAL_RATE = { perSecond: 0.1, burst: 2 };
/** Rate limit for sending the ring that this peer had before to each peer. */
const FORMER_RATE = { perSecond: 1 / 30, burst: 2 };
/** Shortest interval between requests for titles. */
const TITLE_MS = 500;

export interface RingSyncDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly clock: Clock;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly consents: Consents;
  readonly stands: Stands;
  readonly origins: Origins;
  readonly bootstrap: Bootstrap;
  readonly ownershipCheck: OwnershipCheck;
}

/** Keeps the rings of all peers equal: gossips changes, and repairs losses by digests. */
export class RingSync {
  readonly #deps: RingSyncDeps;
  readonly #fullSyncs: RateLimiter;
  readonly #titles: RateLimiter;
  readonly #rivals: RateLimiter;
  readonly #formers: RateLimiter;
  /** Unix time of the start in milliseconds. */
  readonly #started: number;
  /** Monotonic time of the next request for titles. */
  #nextRequest = 0;
  /** Peers with another ring whose full sync is postponed by the rate limit. */
  readonly #postponed = new Set<PeerName>();

  constructor(deps: RingSyncDeps) {
    this.#deps = deps;
    this.#started = deps.clock.wall();
    this.#fullSyncs = new RateLimiter(deps.clock, FULL_SYNC_RATE);
    this.#rivals = new RateLimiter(deps.clock, RIVAL_RATE);
    this.#formers = new RateLimiter(deps.clock, FORMER_RATE);
    this.#titles = new RateLimiter(deps.clock, TITLE_RATE);
  }

  /** The digest of the ring, which this peer signs. */
  get digest(): IpamMessage {
    const { state, stands } = this.#deps;
    const { ring } = state;
    return { kind: "digest", ring: ringSummary(ring), stand: ring && stands.own(ring).signature };
  }

  /** Returns the message for new neighbours and for repair: the votes during an election, else a digest of the ring. */
  announcement(): IpamMessage {
    const { state, bootstrap } = this.#deps;
    const electing = state.ring === undefined && bootstrap.votes.size > 0;
    return electing ? { kind: "election", votes: bootstrap.votes } : this.digest;
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
    const { state, sender, stands } = this.#deps;
    const { ring } = state;
    if (ring === undefined) return;
    const { genesis, spans } = ring;
    const known = stands.of(to) === ring.id ? [] : stands.by(ring);
    sender.unicast(to, { kind: "ring", genesis, spans, ask, stands: known });
  }

  /** Sends the ring that this peer had before another one won, if there is one: its addresses may be in use here. */
  sendFormer(to: PeerName): void {
    const { sender, stands } = this.#deps;
    const former = stands.formerRing;
    if (former === undefined || !this.#formers.admit(to)) return;
    sender.unicast(to, { kind: "ring", genesis: former.genesis, spans: former.spans, ask: false, stands: [] });
  }

  /** Handles a peer's whole ring. @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  receiveRing(from: PeerName, { genesis, spans, ask, stands: signed }: Extract<IpamMessage, { kind: "ring" }>): void {
    const { range, state, stands } = this.#deps;
    const theirs = Ring.whole(range, genesis, spans);
    if (theirs === undefined)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM ring does not cover its range exactly once");
    // Each peer's once, so that a message costs no more checks of signatures than there are known peers.
    for (const [peer, signature] of new Map(signed))
      stands.receive(peer, { range: range.text, ring: theirs.id, signature }, from);
    const before = state.ring?.id;
    if (before === theirs.id) this.merge(spans, from);
    else this.#adopt(theirs, from);
    // The asking peer may know this one's former stand only, and not that ring.
    if (ask && stands.hasMovedLately) this.sendFormer(from);
    const { ring } = state;
    // Two rings of which none displaces the other are sent seldom.
    const answers = ring?.id === theirs.id ? ask || before !== ring.id : this.#rivals.admit(from);
    if (ring?.digest !== theirs.digest && answers) this.sendRing(from, false);
  }

  /** Checks the ring id of a message. If it is not this peer's, the sender receives this peer's digest. @returns whether it is the same */
  isSameRing(from: PeerName, id: string): boolean {
    if (this.#deps.state.ring?.id === id) return true;
    this.#sendDigest(from);
    return false;
  }

  /** Merges spans, and gossips the new part. @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  merge(spans: readonly Span[], from: PeerName): void {
    this.#gossipNews(this.#deps.state.merge(spans, from));
    this.explainGaps();
  }

  /** Requests the decisions that lead to spans which cannot be merged yet. */
  explainGaps(): void {
    const { state, sender, clock } = this.#deps;
    const { ring } = state;
    if (ring === undefined || clock.now() < this.#nextRequest) return;
    for (const [peer, spans] of state.gaps()) {
      this.#nextRequest = clock.now() + TITLE_MS;
      sender.unicast(peer, { kind: "title", ring: ring.id, spans: sortedParts(spans).slice(0, MAX_PARTS) });
    }
  }

  /** Sends the decisions about spans that another peer knows in an earlier state. */
  sendTitles(to: PeerName, spans: readonly Span[]): void {
    const { state, sender, consents } = this.#deps;
    if (state.ring === undefined || !this.#titles.admit(to)) return;
    const later = spans.flatMap((span) =>
      state.deeds.titles.within(span).filter(({ value }) => compareOwnership(value, span.value) > 0),
    );
    const deeds = later.sort(byRank).slice(0, MAX_MESSAGES * MAX_PARTS);
    for (let at = 0; at < deeds.length; at += MAX_PARTS) {
      const part = deeds.slice(at, at + MAX_PARTS);
      const agreed = consents.about(takeoversOf(part));
      sender.unicast(to, { kind: "titles", ring: state.ring.id, spans: part, consents: agreed });
    }
  }

  /** Sends the digest to the peers whose sync was postponed, and merges what can be merged now. @throws WEAVE_STORE */
  tick(): void {
    for (const peer of this.#postponed) this.#sendDigest(peer);
    this.#postponed.clear();
    this.merge([], this.#deps.self);
  }

  /** Adopts another ring if it wins. */
  #adopt(theirs: Ring, from: PeerName): void {
    const { state, ownershipCheck, sender, origins, stands } = this.#deps;
    const wins = origins.displaces(state.ring, theirs, from);
    const loser = wins ? state.ring : theirs;
    if (loser !== undefined && state.ring !== undefined) stands.noteLost(loser.id);
    if (!wins) return;
    // The check must begin before the ring is set, which retries blocked requests.
    if (this.#hadRing(theirs)) ownershipCheck.begin();
    state.adopt(theirs.genesis, theirs.spans, from);
    this.explainGaps();
    sender.gossip(this.digest);
  }

  /**
   * Whether this peer has had another peer's ring, and has lost its disk: the ring begins with the first division, of which this peer may
   * have given all away. A stored vote proves nothing about a ring from before the start: a request has begun an election meanwhile.
   */
  #hadRing(theirs: Ring): boolean {
    const { self, bootstrap } = this.#deps;
    const { peers, at } = theirs.genesis;
    if (!peers.includes(self) && theirs.ownedBy(self).length === 0) return false;
    return !bootstrap.voted || at < this.#started;
  }

  #gossipNews(spans: readonly Span[]): void {
    const { state, sender, consents, self } = this.#deps;
    const { ring } = state;
    if (ring === undefined || spans.length === 0) return;
    const claims = spans.flatMap((span) => state.deeds.titles.within(span)).filter(({ value }) => isClaim(value));
    const takeovers = takeoversOf([...spans, ...claims]);
    // This peer gives its own addresses up: others that see it alive wait for its word.
    // Only claims that ended its ownership count: any owner can write another one's name into a transfer of its own.
    for (const each of takeoversOf(claims)) if (each.from === self) consents.give(ring.id, each);
    sender.gossip({ kind: "news", ring: ring.id, spans, consents: consents.about(takeovers) });
  }

  #sendDigest(to: PeerName): void {
    const { sender } = this.#deps;
    sender.unicast(to, this.digest);
  }
}

/** Sorts spans, and drops those that overlap an earlier one. */
function sortedParts(spans: readonly Span[]): Span[] {
  const parts: Span[] = [];
  for (const span of sorted(spans)) if (span.start >= (parts.at(-1)?.end ?? 0n)) parts.push(span);
  return parts;
}
