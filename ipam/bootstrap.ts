import { z } from "zod/mini";
import { Election, type Votes } from "#ipam/election.js";
import { votesFromWire, votesShape, votesToWire } from "#ipam/messages.js";
import type { Genesis } from "#ipam/ring.js";
import { durationText, type Surroundings } from "#ipam/surroundings.js";
import type { Reason } from "#ipam/waiting.js";
import type { PeerName } from "#mesh/peer.js";
import { Coalescer } from "#src/coalesce.js";
import { readStored } from "#src/store.js";

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
  readonly #made: (genesis: Genesis) => void;
  readonly #election: Election;
  readonly #tell: Coalescer;
  #wantedSince: number | undefined;
  #nextProposal = 0;

  /** @param made called when the first ring is decided @throws WEAVE_STORE */
  constructor(env: Surroundings, init: Init, made: (genesis: Genesis) => void) {
    this.#env = env;
    this.#init = init;
    this.#made = made;
    const stored = readStored(env.store, KEY, shape, "'weave reset' starts anew.");
    const ours = stored?.name === env.self && stored.range === env.range.text;
    this.#election = new Election(env.self, ours ? votesFromWire(stored) : undefined);
    this.#tell = new Coalescer(env.clock, TELL_MS, () =>
      env.gossip({ kind: "election", votes: this.#election.takeNews() }),
    );
  }

  get mode(): Init["mode"] {
    return this.#init.mode;
  }

  get votes(): Votes {
    return this.#election.votes;
  }

  /** Whether this peer remembers that it took part. */
  get voted(): boolean {
    return this.#election.votes.has(this.#env.self);
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
    this.#nextProposal = now + REPEAT_MS + this.#env.random.below(REPEAT_MS);
    if (this.#init.mode === "observer") {
      this.#env.gossip({ kind: "need" });
      return;
    }
    this.#election.propose();
    this.#advance();
  }

  /** @throws WEAVE_STORE */
  hear(votes: Votes): void {
    const elector = this.#init.mode === "consensus";
    if (this.#election.merge(votes, elector)) this.#advance();
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

  #advance(): void {
    const { clock, store, self, range } = this.#env;
    if (this.#init.mode === "consensus") this.#election.lead(this.#quorum(), clock.wall());
    // A promise that a crash could undo must not be told.
    store.put(KEY, { name: self, range: range.text, ...votesToWire(this.#election.votes) });
    this.#tell.request();
    const genesis = this.#init.mode === "consensus" ? this.#election.elected(this.#quorum()) : undefined;
    if (genesis !== undefined) this.#made(genesis);
  }
}
