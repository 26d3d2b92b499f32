import type { Genesis } from "#ipam/ring/ring.js";
import { compareBallots, NO_BALLOT, type Vote, type Votes } from "#ipam/wire/vote.js";
import { successor } from "#mesh/counter.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";

const NONE: Vote = { promised: NO_BALLOT, accepted: undefined };

/** Returns the later of two states of a peer. Both ballots of an honest peer only increase: one of the states has both higher ones. */
function later(a: Vote, b: Vote): Vote {
  const order = compareBallots(b.accepted?.ballot ?? NO_BALLOT, a.accepted?.ballot ?? NO_BALLOT);
  return compareBallots(b.promised, a.promised) >= 0 && order >= 0 ? b : a;
}

const equal = (a: Vote, b: Vote): boolean =>
  compareBallots(a.promised, b.promised) === 0 &&
  compareBallots(a.accepted?.ballot ?? NO_BALLOT, b.accepted?.ballot ?? NO_BALLOT) === 0;

/**
 * The election of the first ring: single-decree Paxos (Lamport, Paxos Made Simple, 2001). Each peer has a map of all votes, merges
 * received entries, and changes only its own entry: entries may be lost, duplicated or late. The entry of a proposer is gossiped
 * to all peers; the other peers send their entries to the proposer, which counts them.
 *
 *     propose     promise a ballot of this peer, higher than any known one
 *     merge       promise a higher ballot too; accept a higher accepted ballot too, unless a higher one is promised
 *     lead        when a quorum has promised this peer's ballot, accept it with the value of the highest accepted ballot, or,
 *                 if there is none, with all known peers
 *     elected     the value of a ballot that a quorum has accepted
 *
 * A peer's own entry must be on disk before it is sent: a crash must not undo a promise.
 */
export class Election {
  readonly #self: PeerName;
  readonly #sign: (vote: Vote) => Uint8Array;
  readonly #votes: Map<PeerName, Vote>;

  /** @param sign signs this peer's own vote @param votes the votes stored by an earlier run */
  constructor(self: PeerName, sign: (vote: Vote) => Uint8Array, votes: Votes = new Map()) {
    this.#self = self;
    this.#sign = sign;
    this.#votes = new Map([...votes].filter(([peer, { signature }]) => peer === self || signature !== undefined));
    const own = this.own;
    if (own !== undefined) this.#setOwn(own);
  }

  get votes(): Votes {
    return this.#votes;
  }

  /** Number of peers that are known to have taken part. */
  get known(): number {
    return [...this.#votes.values()].filter(({ promised }) => promised.round > 0).length;
  }

  /** Whether a vote is no news. */
  isKnown(peer: PeerName, vote: Vote): boolean {
    const was = this.#votes.get(peer);
    return was !== undefined && equal(was, later(was, vote));
  }

  /** Promises a new ballot of this peer. */
  propose(): void {
    const round = successor(Math.max(0, ...[...this.#votes.values()].map(({ promised }) => promised.round)));
    this.#setOwn({ ...(this.own ?? NONE), promised: { round, proposer: this.#self } });
  }

  /**
   * Merges received votes.
   *
   * @param elector whether this peer votes; an observer does not
   * @param isReachable tests whether a voter is a reachable peer: forged voters must not displace real ones
   * @returns whether any vote was new
   */
  merge(votes: Votes, elector: boolean, isReachable: (peer: PeerName) => boolean): boolean {
    let news = false;
    for (const [peer, vote] of votes) {
      // The own entry is merged too: after the loss of a disk other peers have a later one.
      const was = this.#votes.get(peer) ?? NONE;
      if (was === NONE && this.#votes.size >= MAX_PEERS && !this.#makeRoom(peer, isReachable)) continue;
      const now = later(was, vote);
      if (equal(was, now)) continue;
      this.#votes.set(peer, now);
      news = true;
    }
    return (elector && this.#follow()) || news;
  }

  /** The own entry; undefined before the first vote. */
  get own(): Vote | undefined {
    return this.#votes.get(this.#self);
  }

  /** The proposer of the highest known ballot, and its entry; undefined when there is none. */
  get leader(): { peer: PeerName; vote: Vote } | undefined {
    let highest = NO_BALLOT;
    for (const { promised } of this.#votes.values()) if (compareBallots(promised, highest) > 0) highest = promised;
    const vote = this.#votes.get(highest.proposer);
    return vote === undefined ? undefined : { peer: highest.proposer, vote };
  }

  /**
   * Accepts this peer's own ballot when a quorum has promised it.
   *
   * @param others participants in IPAM that have not voted: they get a share too
   * @param isReachable tests whether a voter is a reachable peer: forged voters get no share
   * @returns whether the own entry has changed
   */
  lead(quorum: number, now: number, others: Iterable<PeerName>, isReachable: (peer: PeerName) => boolean): boolean {
    const { promised, accepted } = this.own ?? NONE;
    if (promised.proposer !== this.#self || compareBallots(accepted?.ballot ?? NO_BALLOT, promised) >= 0) return false;
    const promises = [...this.#votes].filter(([, vote]) => compareBallots(vote.promised, promised) === 0);
    if (promises.length < quorum) return false;
    let highest: Vote["accepted"];
    for (const [, vote] of promises)
      if (vote.accepted !== undefined && compareBallots(vote.accepted.ballot, highest?.ballot ?? NO_BALLOT) > 0)
        highest = vote.accepted;
    const voters = [...this.#votes.keys()].filter((peer) => peer === this.#self || isReachable(peer));
    const value = highest?.value ?? { peers: [...new Set([...voters, ...others])].sort(), at: now };
    this.#setOwn({ promised, accepted: { ballot: promised, value } });
    return true;
  }

  /** Returns the value that a quorum has accepted; undefined if there is none. */
  elected(quorum: number): Genesis | undefined {
    const counts = new Map<string, number>();
    for (const { accepted } of this.#votes.values()) {
      if (accepted === undefined) continue;
      const key = `${accepted.ballot.round} ${accepted.ballot.proposer}`;
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      if (count >= quorum) return accepted.value;
    }
    return undefined;
  }

  /** Promises and accepts the highest ballots of other peers. @returns whether the own entry has changed */
  #follow(): boolean {
    const own = this.own ?? NONE;
    let { promised, accepted } = own;
    for (const vote of this.#votes.values()) if (compareBallots(vote.promised, promised) > 0) promised = vote.promised;
    for (const vote of this.#votes.values()) {
      const ballot = vote.accepted?.ballot ?? NO_BALLOT;
      if (compareBallots(ballot, promised) >= 0 && compareBallots(ballot, accepted?.ballot ?? NO_BALLOT) > 0)
        accepted = vote.accepted;
    }
    if (equal(own, { promised, accepted })) return false;
    this.#setOwn({ promised, accepted });
    return true;
  }

  /** Drops an unreachable voter for a reachable one. @returns whether there is room */
  #makeRoom(newcomer: PeerName, isReachable: (peer: PeerName) => boolean): boolean {
    if (!isReachable(newcomer)) return false;
    for (const voter of this.#votes.keys())
      if (voter !== this.#self && !isReachable(voter)) return this.#votes.delete(voter);
    return false;
  }

  #setOwn(vote: Vote): void {
    // All peers reject a message with more than MAX_PEERS entries.
    if (this.#votes.size >= MAX_PEERS && this.own === undefined)
      this.#votes.delete(this.#votes.keys().next().value as PeerName);
    const { promised, accepted } = vote;
    this.#votes.set(this.#self, { promised, accepted, signature: this.#sign({ promised, accepted }) });
  }
}
