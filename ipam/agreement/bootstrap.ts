import * as z from "zod/mini";
import { Election } from "#ipam/agreement/election.js";
import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { Participants } from "#ipam/agreement/participants.js";
import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import { RESET_HINT, type RingState } from "#ipam/agreement/ring-state.js";
import type { Stands } from "#ipam/agreement/stands.js";
import { durationText, type Reason } from "#ipam/ring/reason.js";
import type { Genesis } from "#ipam/ring/ring.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { ringSummary } from "#ipam/wire/ipam-message.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import { type Vote, type Votes, voteBytes, votesFromWire, votesShape, votesToWire } from "#ipam/wire/vote.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import { readStored, type Store } from "#src/store.js";
import { ThrottledTask } from "#src/throttled-task.js";

const KEY = "ipam/election";
const shape = z.object({ name: z.string(), range: z.string(), ...votesShape.shape });

/** Delay of a new proposal after one without a quorum; a random delay of up to the same length is added. */
const REPEAT_MS = 5_000;
/** Shortest interval between two sent votes: with many peers votes change in bursts. */
const SEND_MS = 50;

/** The way to make the first ring (`--ipalloc-init`). */
export type IpallocInit =
  | { readonly mode: "consensus"; readonly quorum: () => number }
  | { readonly mode: "seed"; readonly peers: readonly PeerName[] }
  | { readonly mode: "observer" };

/** The state of the election, for status. */
export interface ElectionStatus {
  /** Whether this peer votes; an observer does not. */
  readonly elector: boolean;
  /** Number of peers that have taken part. */
  readonly known: number;
  readonly quorum: number;
}

export interface BootstrapDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly init: IpallocInit;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  readonly peers: KnownPeers;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly stands: Stands;
  readonly signer: Signer;
  readonly rejections: RejectedMessages;
  readonly participants: Participants;
  readonly ownershipCheck: OwnershipCheck;
}

/** Makes the first ring: by an election on the first request, or immediately from a list of peers. */
export class Bootstrap {
  readonly #deps: BootstrapDeps;
  readonly #init: IpallocInit;
  readonly #election: Election;
  readonly #sendOwn: ThrottledTask;
  #requestedSince: number | undefined;
  #nextProposal = 0;

  /** @throws WEAVE_STORE when the stored votes are damaged */
  constructor(deps: BootstrapDeps) {
    const { self, range, store, clock } = deps;
    this.#deps = deps;
    this.#init = deps.init;
    const stored = readStored(store, KEY, shape, RESET_HINT);
    const ours = stored?.name === self && stored.range === range.text;
    const sign = (vote: Vote) => deps.signer.sign("ipam-agreement", voteBytes(range.text, self, vote));
    this.#election = new Election(self, sign, ours ? votesFromWire(stored) : undefined);
    this.#sendOwn = new ThrottledTask(clock, SEND_MS, () => this.#sendVote());
  }

  get mode(): IpallocInit["mode"] {
    return this.#init.mode;
  }

  /** The votes for a new neighbour: this peer's own, and the leader's. */
  get votes(): Votes {
    const { own, leader } = this.#election;
    const votes = new Map<PeerName, Vote>();
    if (own !== undefined) votes.set(this.#deps.self, own);
    if (leader !== undefined) votes.set(leader.peer, leader.vote);
    return votes;
  }

  /** Whether this peer has a record of its own vote. */
  get voted(): boolean {
    return this.#election.own !== undefined;
  }

  /** A request on this host needs a ring. Called again as long as it does. @throws WEAVE_STORE */
  request(): void {
    const now = this.#deps.clock.now();
    this.#requestedSince ??= now;
    if (this.#init.mode === "seed") {
      this.#begin({ peers: [...new Set(this.#init.peers)].sort(), at: 0 });
      return;
    }
    if (now < this.#nextProposal) return;
    this.#delayProposal();
    if (this.#init.mode === "observer") {
      this.#deps.sender.gossip({ kind: "need" });
      return;
    }
    this.#election.propose();
    this.#advance();
  }

  /** Handles the request of another peer, which is an observer. @throws WEAVE_STORE */
  requestedByObserver(): void {
    if (this.#init.mode !== "observer") this.request();
  }

  /** Merges votes that their voters have signed. @param from the peer that sent them @returns whether to pass them on: they contain the leader's vote @throws WEAVE_STORE */
  receive(all: Votes, from: PeerName): boolean {
    const votes = this.#signed(all, from);
    const before = this.#election.leader;
    const reachable = this.#deps.peers.reachable();
    const isElector = this.#init.mode === "consensus";
    if (!this.#election.merge(votes, isElector, (peer) => reachable.has(peer))) return false;
    const { leader } = this.#election;
    // Another peer leads now. Without a delay, two proposers could outbid each other for ever.
    if (leader?.peer !== before?.peer) this.#delayProposal();
    this.#advance();
    return leader !== undefined && leader.peer !== this.#deps.self && votes.has(leader.peer);
  }

  /** Returns the votes that are new, and signed by peers whose identity is known. */
  #signed(votes: Votes, from: PeerName): Votes {
    const { self, signer, range, peers, rejections } = this.#deps;
    const signed = new Map<PeerName, Vote>();
    for (const [peer, vote] of votes) {
      const identity = peer === self ? signer.identity : peers.identity(peer);
      if (identity === undefined || this.#election.isKnown(peer, vote)) continue;
      const { signature } = vote;
      if (
        signature !== undefined &&
        signer.verify(identity, "ipam-agreement", voteBytes(range.text, peer, vote), signature)
      )
        signed.set(peer, vote);
      else rejections.note("vote", from);
    }
    return signed;
  }

  stop(): void {
    this.#sendOwn.cancel();
  }

  /** Undefined before the first request for a ring. */
  status(): ElectionStatus | undefined {
    if (this.#requestedSince === undefined && this.#election.known === 0) return undefined;
    const elector = this.#init.mode === "consensus";
    return { elector, known: this.#election.known, quorum: this.#quorum() };
  }

  /** Explains why there is no ring yet. */
  reason(): Reason {
    const { range, clock, peers } = this.#deps;
    const since = durationText(clock.now() - (this.#requestedSince ?? clock.now()));
    if (this.#init.mode !== "consensus") {
      return {
        why: `a peer that takes part in the first division of ${range.text}; this one is an observer (for ${since})`,
        next: "Connect this host to one that was not launched with --ipalloc-init observer: 'weave connect HOST'.",
      };
    }
    const { known } = this.#election;
    const quorum = this.#quorum();
    return {
      why: `consensus on the first division of ${range.text}: quorum ${quorum}, known ${known} of ${peers.reachable().size + 1} reachable peers (for ${since})`,
      next: `${Math.max(1, quorum - known)} more must agree: 'weave connect' them, or, if there are fewer, relaunch with --ipalloc-init consensus=COUNT.`,
    };
  }

  #quorum(): number {
    return this.#init.mode === "consensus" ? this.#init.quorum() : 0;
  }

  #delayProposal(): void {
    const { clock, random } = this.#deps;
    this.#nextProposal = clock.now() + REPEAT_MS + random.below(REPEAT_MS);
  }

  /** Sends this peer's vote: a proposer to all peers, another peer to its proposer. */
  #sendVote(): void {
    const { self, sender } = this.#deps;
    const { own } = this.#election;
    if (own === undefined) return;
    const message = { kind: "election", votes: new Map([[self, own]]) } as const;
    if (own.promised.proposer === self) sender.gossip(message);
    else sender.unicast(own.promised.proposer, message);
  }

  #advance(): void {
    const { clock, store, self, range, peers, participants } = this.#deps;
    if (this.#init.mode === "consensus") {
      const reachable = peers.reachable();
      const others = [...participants.all()].filter((peer) => reachable.has(peer));
      this.#election.lead(this.#quorum(), clock.wall(), others, (peer) => reachable.has(peer));
    }
    // Written before it is sent: a crash must not undo a promise.
    store.put(KEY, { name: self, range: range.text, ...votesToWire(this.#election.votes) });
    this.#sendOwn.request();
    const genesis = this.#init.mode === "consensus" ? this.#election.elected(this.#quorum()) : undefined;
    if (genesis !== undefined) this.#begin(genesis);
  }

  /** Adopts the decided first ring. */
  #begin(genesis: Genesis): void {
    const { self, range, log, state, ownershipCheck, sender, stands } = this.#deps;
    if (state.ring !== undefined) return;
    log.info("the range is divided", { range: range.text, among: genesis.peers });
    // With a list of peers (seed), this may be a later start with a new disk.
    if (genesis.at === 0 && genesis.peers.some((peer) => peer !== self)) ownershipCheck.begin();
    state.adopt(genesis);
    const { ring } = state;
    if (ring === undefined) return;
    sender.gossip({ kind: "digest", ring: ringSummary(ring), stand: stands.own(ring).signature });
  }
}
