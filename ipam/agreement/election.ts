import type { Genesis } from "#ipam/ring/ring.js";
import { successor } from "#mesh/counter.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";

/** A proposal's number. Of two the higher round counts, then the higher name: no two peers ever use the same. */
export interface Ballot {
  readonly round: number;
  readonly proposer: PeerName;
}

/** What one peer has said so far. It only ever grows. */
export interface Vote {
  /** It takes part in no lower ballot any more. */
  readonly promised: Ballot;
  readonly accepted: { readonly ballot: Ballot; readonly value: Genesis } | undefined;
}

export type Votes = ReadonlyMap<PeerName, Vote>;

export const NO_BALLOT: Ballot = { round: 0, proposer: "" };

export function compareBallots(a: Ballot, b: Ballot): number {
  return a.round - b.round || (a.proposer < b.proposer ? -1 : a.proposer > b.proposer ? 1 : 0);
}

const NONE: Vote = { promised: NO_BALLOT, accepted: undefined };

/** The later of what one peer is known to have said. */
function later(a: Vote, b: Vote): Vote {
  const promised = compareBallots(a.promised, b.promised) >= 0 ? a.promised : b.promised;
  const order = compareBallots(a.accepted?.ballot ?? NO_BALLOT, b.accepted?.ballot ?? NO_BALLOT);
  return { promised, accepted: order >= 0 ? a.accepted : b.accepted };
}

const equal = (a: Vote, b: Vote): boolean =>
  compareBallots(a.promised, b.promised) === 0 &&
  compareBallots(a.accepted?.ballot ?? NO_BALLOT, b.accepted?.ballot ?? NO_BALLOT) === 0;

/**
 * The election of the first ring: single-decree Paxos (Lamport, Paxos Made Simple, 2001). What every peer has said is one
 * map that all merge, as far as they hear of it, and each peer adds to its own entry alone: entries may be lost, doubled or
 * late. A proposer's entry goes to all; the others tell theirs to the proposer, who counts.
 *
 *     propose     own entry promises a ballot higher than any seen
 *     hear        a higher promise is promised too; a higher acceptance, unless promised away, is accepted too
 *     lead        a quorum has promised our ballot: accept under it the value of the highest acceptance known,
 *                 or else all peers known
 *     elected     a quorum has accepted one ballot
 *
 * A peer's own entry must be on disk before it is told: a promise that is forgotten in a crash is worth nothing.
 */
export class Election {
  readonly #self: PeerName;
  readonly #votes: Map<PeerName, Vote>;

  /** @param votes what was stored */
  constructor(self: PeerName, votes: Votes = new Map()) {
    this.#self = self;
    this.#votes = new Map(votes);
  }

  get votes(): Votes {
    return this.#votes;
  }

  /** Peers that have taken part, as far as is known. */
  get known(): number {
    return [...this.#votes.values()].filter(({ promised }) => promised.round > 0).length;
  }

  /** Begins a ballot of our own. */
  propose(): void {
    const round = successor(Math.max(0, ...[...this.#votes.values()].map(({ promised }) => promised.round)));
    this.#say({ ...(this.own ?? NONE), promised: { round, proposer: this.#self } });
  }

  /**
   * Merges what others say.
   *
   * @param elector whether we vote; an observer only listens
   * @param isPeer whether somebody is within reach: made-up voters must not take the room of real ones
   * @returns whether anything was new
   */
  merge(votes: Votes, elector: boolean, isPeer: (peer: PeerName) => boolean): boolean {
    let news = false;
    for (const [peer, vote] of votes) {
      // Our own entry too: after the loss of a disk others know better what we said.
      const was = this.#votes.get(peer) ?? NONE;
      if (was === NONE && this.#votes.size >= MAX_PEERS && !this.#makeRoom(peer, isPeer)) continue;
      const now = later(was, vote);
      if (equal(was, now)) continue;
      this.#votes.set(peer, now);
      news = true;
    }
    return (elector && this.#follow()) || news;
  }

  /** Our own part; undefined as long as we have said nothing. */
  get own(): Vote | undefined {
    return this.#votes.get(this.#self);
  }

  /** Who proposed the highest ballot that is known, and what it said of it; undefined when there is none. */
  get leader(): { peer: PeerName; vote: Vote } | undefined {
    let highest = NO_BALLOT;
    for (const { promised } of this.#votes.values()) if (compareBallots(promised, highest) > 0) highest = promised;
    const vote = this.#votes.get(highest.proposer);
    return vote === undefined ? undefined : { peer: highest.proposer, vote };
  }

  /**
   * Moves our own part on where the votes allow it.
   *
   * @param others peers that take part in IPAM too, though they have not voted: they get a share
   * @param isPeer whether somebody is within reach: of the voters these get a share; who made up voters gets none
   * @returns whether our entry has changed
   */
  lead(quorum: number, now: number, others: Iterable<PeerName>, isPeer: (peer: PeerName) => boolean): boolean {
    const { promised, accepted } = this.own ?? NONE;
    if (promised.proposer !== this.#self || compareBallots(accepted?.ballot ?? NO_BALLOT, promised) >= 0) return false;
    const promises = [...this.#votes].filter(([, vote]) => compareBallots(vote.promised, promised) === 0);
    if (promises.length < quorum) return false;
    let highest: Vote["accepted"];
    for (const [, vote] of promises)
      if (vote.accepted !== undefined && compareBallots(vote.accepted.ballot, highest?.ballot ?? NO_BALLOT) > 0)
        highest = vote.accepted;
    const voters = [...this.#votes.keys()].filter((peer) => peer === this.#self || isPeer(peer));
    const value = highest?.value ?? { peers: [...new Set([...voters, ...others])].sort(), at: now };
    this.#say({ promised, accepted: { ballot: promised, value } });
    return true;
  }

  /** What a quorum has accepted. */
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

  /** Promises and accepts what the highest of the others does. */
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
    this.#say({ promised, accepted });
    return true;
  }

  #makeRoom(newcomer: PeerName, isPeer: (peer: PeerName) => boolean): boolean {
    if (!isPeer(newcomer)) return false;
    for (const voter of this.#votes.keys())
      if (voter !== this.#self && !isPeer(voter)) return this.#votes.delete(voter);
    return false;
  }

  #say(vote: Vote): void {
    // One more than the bound would be refused by all.
    if (this.#votes.size >= MAX_PEERS && this.own === undefined)
      this.#votes.delete(this.#votes.keys().next().value as PeerName);
    this.#votes.set(this.#self, vote);
  }
}
