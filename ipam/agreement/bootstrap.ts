import { z } from "zod/mini";
import { Election, type Vote, type Votes } from "#ipam/agreement/election.js";
import type { Reason } from "#ipam/allocation/wait-queue.js";
import type { Genesis } from "#ipam/ring/ring.js";
import { durationText, type Surroundings } from "#ipam/surroundings.js";
import { votesFromWire, votesShape, votesToWire } from "#ipam/wire/ipam-message.js";
import type { PeerName } from "#mesh/peer.js";
import { readStored } from "#src/store.js";
import { ThrottledTask } from "#src/throttled-task.js";

const KEY = "ipam/election";
const shape = z.object({ name: z.string(), range: z.string(), ...votesShape.shape });

/** A proposal that gets no quorum is repeated after this long, and a random part of it more. As the original. */
const REPEAT_MS = 5_000;
/** News of an election are told at most this often: with many peers they come in bursts. */
const TELL_MS = 50;

/** How the first ring is made (`--ipalloc-init`). */
export type Init =
  | { readonly mode: "consensus"; readonly quorum: () => number }
  | { readonly mode: "seed"; readonly peers: readonly PeerName[] }
  | { readonly mode: "observer" };

/** Makes the first ring: by an election when somebody first needs it, or at once from a list of peers. */
export class Bootstrap {
  readonly #env: Surroundings;
  readonly #init: Init;
  readonly #participants: () => Iterable<PeerName>;
  readonly #made: (genesis: Genesis) => void;
  readonly #election: Election;
  readonly #tell: ThrottledTask;
  #wantedSince: number | undefined;
  #nextProposal = 0;

  /** @param participants peers that take part in IPAM @param made called when the first ring is decided @throws WEAVE_STORE */
  constructor(env: Surroundings, init: Init, participants: () => Iterable<PeerName>, made: (genesis: Genesis) => void) {
    this.#env = env;
    this.#init = init;
    this.#participants = participants;
    this.#made = made;
    const stored = readStored(env.store, KEY, shape, "'weave reset' starts anew.");
    const ours = stored?.name === env.self && stored.range === env.range.text;
    this.#election = new Election(env.self, ours ? votesFromWire(stored) : undefined);
    this.#tell = new ThrottledTask(env.clock, TELL_MS, () => this.#tellOwn());
  }

  get mode(): Init["mode"] {
    return this.#init.mode;
  }

  /** What a new neighbour should know: what we have said, and what the leader has. */
  get votes(): Votes {
    const { own, leader } = this.#election;
    const votes = new Map<PeerName, Vote>();
    if (own !== undefined) votes.set(this.#env.self, own);
    if (leader !== undefined) votes.set(leader.peer, leader.vote);
    return votes;
  }

  /** Whether this peer remembers that it took part. */
  get voted(): boolean {
    return this.#election.own !== undefined;
  }

  /** Somebody here waits for a ring. Called again as long as that is so. */
  want(): void {
    const now = this.#env.clock.now();
    this.#wantedSince ??= now;
    if (this.#init.mode === "seed") {
      this.#made({ peers: [...new Set(this.#init.peers)].sort(), at: 0 });
      return;
    }
    if (now < this.#nextProposal) return;
    this.#waitBeforeProposing();
    if (this.#init.mode === "observer") {
      this.#env.gossip({ kind: "need" });
      return;
    }
    this.#election.propose();
    this.#advance();
  }

  /** @returns whether it is to be passed on: the proposal that holds against all others that we know @throws WEAVE_STORE */
  hear(votes: Votes): boolean {
    const before = this.#election.leader;
    const reachable = this.#env.peers.reachable();
    const isElector = this.#init.mode === "consensus";
    if (!this.#election.merge(votes, isElector, (peer) => reachable.has(peer))) return false;
    const { leader } = this.#election;
    // Somebody else has begun: two that outbid each other never end.
    if (leader?.peer !== before?.peer) this.#waitBeforeProposing();
    this.#advance();
    return leader !== undefined && leader.peer !== this.#env.self && votes.has(leader.peer);
  }

  /** An observer asks for a ring. */
  needed(): void {
    if (this.#init.mode !== "observer") this.want();
  }

  stop(): void {
    this.#tell.cancel();
  }

  status(): { elector: boolean; known: number; quorum: number } | undefined {
    if (this.#wantedSince === undefined && this.#election.known === 0) return undefined;
    const elector = this.#init.mode === "consensus";
    return { elector, known: this.#election.known, quorum: this.#quorum() };
  }

  /** What those who need a ring wait for. */
  reason(): Reason {
    const { range, clock, peers } = this.#env;
    const since = durationText(clock.now() - (this.#wantedSince ?? clock.now()));
    if (this.#init.mode !== "consensus") {
      return {
        why: `a peer that takes part in the first division of ${range.text}; this one is an observer (for ${since})`,
        next: "Connect this host to one that was not launched with --ipalloc-init observer: 'weave connect HOST'.",
      };
    }
    const { known } = this.#election;
    const quorum = this.#quorum();
    return {
      why: `consensus on the first division of ${range.text}: quorum ${quorum}, known ${known} of ${peers.reachable().size + 1} peers within reach (for ${since})`,
      next: `${Math.max(1, quorum - known)} more must agree: 'weave connect' them, or, if there are fewer, relaunch with --ipalloc-init consensus=COUNT.`,
    };
  }

  #quorum(): number {
    return this.#init.mode === "consensus" ? this.#init.quorum() : 0;
  }

  #waitBeforeProposing(): void {
    const { clock, random } = this.#env;
    this.#nextProposal = clock.now() + REPEAT_MS + random.below(REPEAT_MS);
  }

  /** A proposer tells all; who follows one tells that one. */
  #tellOwn(): void {
    const { self } = this.#env;
    const { own } = this.#election;
    if (own === undefined) return;
    const message = { kind: "election", votes: new Map([[self, own]]) } as const;
    if (own.promised.proposer === self) this.#env.gossip(message);
    else this.#env.unicast(own.promised.proposer, message);
  }

  #advance(): void {
    const { clock, store, self, range, peers } = this.#env;
    if (this.#init.mode === "consensus") {
      const reachable = peers.reachable();
      const others = [...this.#participants()].filter((peer) => reachable.has(peer));
      this.#election.lead(this.#quorum(), clock.wall(), others, (peer) => reachable.has(peer));
    }
    // A promise that a crash could undo must not be told.
    store.put(KEY, { name: self, range: range.text, ...votesToWire(this.#election.votes) });
    this.#tell.request();
    const genesis = this.#init.mode === "consensus" ? this.#election.elected(this.#quorum()) : undefined;
    if (genesis !== undefined) this.#made(genesis);
  }
}
