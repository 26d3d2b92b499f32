import { z } from "zod/mini";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import { contains, subtract } from "#ipam/ring/interval.js";
import type { Span } from "#ipam/ring/ring.js";
import { peerText, type Surroundings, unixSeconds } from "#ipam/surroundings.js";
import type { Message } from "#ipam/wire/ipam-message.js";
import { successor } from "#mesh/counter.js";
import { type PeerName, peerNameShape } from "#mesh/peer.js";
import { readStored } from "#src/store.js";

/** Who has not answered is asked again this often. */
const REPEAT_MS = 2_000;
/** A peer that owns nothing, and is away for this long, was a passer-by. */
const PASSED_BY_MS = 60_000;
/** A peer that has never said anything of IPAM has none, if it does not answer in this time either. */
const NO_IPAM_MS = 10_000;

const KEY = "ipam/takeover";
const shape = z.array(peerNameShape);

interface Takeover {
  readonly id: number;
  readonly since: number;
  asked: number;
  /** Whose answer is awaited, and since when each is out of reach. */
  readonly waiting: Map<PeerName, number | undefined>;
  /** What containers elsewhere hold of it: theirs to keep. */
  readonly held: Map<bigint, PeerName>;
  /** Were out of reach when it began, or never answered: the operator is told. */
  readonly without: Set<PeerName>;
  readonly done: (() => void)[];
}

/**
 * Taking over what a dead peer owned (`rmpeer`), so that nobody is harmed by several peers doing it at the same time, or by
 * a gift that the dead one made last:
 *
 *     rmpeer      our claim, one epoch up, *pending*: on disk and told to all. Nobody hands such addresses out.
 *     agree?      asked of every peer within reach. Each merges the claim first. If it made one of its own, the ring's
 *                 order has decided by then, and its answer says so; it makes none after that. It names the addresses
 *                 in it that its own containers hold.
 *     settled     when all have answered: what is still ours is ours to hand out; what is held elsewhere goes to the
 *                 holders. A peer that was asked and is lost before it answers is waited for, until it comes back or is
 *                 removed itself.
 *
 * Of two claims whose makers could reach each other at the time only one is ever settled: each needs the other's answer.
 */
export class Takeovers {
  readonly #env: Surroundings;
  readonly #state: RingState;
  readonly #leases: LeaseTable;
  /** Peers that take part in IPAM, as far as is known: others need not answer. */
  readonly #participants: () => ReadonlySet<PeerName>;
  #current: Takeover | undefined;
  /** Could not be asked when something was settled: if they claim it too, addresses may be held twice. */
  readonly settledWithout = new Set<PeerName>();
  /** Of these, those of the last time. */
  notAsked: readonly PeerName[] = [];

  constructor(env: Surroundings, state: RingState, leases: LeaseTable, participants: () => ReadonlySet<PeerName>) {
    this.#env = env;
    this.#state = state;
    this.#leases = leases;
    this.#participants = participants;
  }

  /** Claims all that a peer owns. @returns the number of addresses claimed @throws WEAVE_STORE */
  claim(peer: PeerName): bigint {
    const { self, clock, store } = this.#env;
    const spans = this.#state.ring?.ownedBy(peer) ?? [];
    // First of all: with the claim on disk and this not, a power cut would make us forget whom to wait for.
    const waiting = this.#whomToAsk(peer);
    store.put(KEY, waiting);
    const since = unixSeconds(clock);
    this.#state.decide(
      spans.map(({ start, end, value }) => ({
        start,
        end,
        value: {
          owner: self,
          epoch: successor(value.epoch),
          version: 0,
          pending: true,
          since,
          cause: "rmpeer",
          from: peer,
        },
      })),
    );
    this.#begin(waiting);
    return spans.reduce((sum, { start, end }) => sum + end - start, 0n);
  }

  /** Resolves when nothing of ours is pending any more. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#current === undefined) resolve();
      else this.#current.done.push(resolve);
    });
  }

  /** Peers whose answer is awaited, and since when on the clock. */
  get status(): { waiting: readonly PeerName[]; since: number } | undefined {
    return this.#current === undefined
      ? undefined
      : { waiting: [...this.#current.waiting.keys()], since: this.#current.since };
  }

  /** Asks on, takes up what was pending before a restart, and lets go of those who have no part in it. @throws WEAVE_STORE */
  tick(): void {
    if (this.#current === undefined) {
      if (this.#pending().length > 0) this.#begin(this.#whomToAsk());
      return;
    }
    const takeover = this.#current;
    const now = this.#env.clock.now();
    const reachable = this.#env.peers.reachable();
    const owners = this.#state.ring?.shares();
    const participants = this.#participants();
    for (const [peer, awaySince] of takeover.waiting) {
      if (!participants.has(peer)) {
        if (now - takeover.since < NO_IPAM_MS) continue;
        takeover.waiting.delete(peer);
        takeover.without.add(peer);
      } else if (reachable.has(peer)) takeover.waiting.set(peer, undefined);
      else if (awaySince === undefined) takeover.waiting.set(peer, now);
      else if (!owners?.has(peer) && now - awaySince > PASSED_BY_MS) takeover.waiting.delete(peer);
    }
    if (now - takeover.asked >= REPEAT_MS) this.#ask(takeover);
    this.#settle(takeover);
  }

  /** Another peer's claim, already merged: what we have to say to it. @throws WEAVE_STORE */
  answer(from: PeerName, { id, spans }: Extract<Message, { kind: "agree" }>): void {
    const { ring } = this.#state;
    if (ring === undefined) return;
    // An answer that a crash could undo must not be given.
    this.#state.flush();
    const held = [...this.#leases.addresses()]
      .map(([address]) => address)
      .filter((address) => spans.some((span) => contains(span, address)));
    this.#env.unicast(from, { kind: "agreed", ring: ring.id, id, spans: spans.flatMap((s) => ring.within(s)), held });
  }

  /** An answer, whose spans are already merged. @throws WEAVE_STORE */
  answered(from: PeerName, { id, held }: Extract<Message, { kind: "agreed" }>): void {
    const takeover = this.#current;
    if (takeover?.id !== id || !takeover.waiting.delete(from)) return;
    for (const address of held) if (!takeover.held.has(address)) takeover.held.set(address, from);
    this.#settle(takeover);
  }

  #pending(): Span[] {
    return this.#state.own.filter(({ value }) => value.pending);
  }

  /** Every peer within reach, and those whose answer is still awaited. @param removed whom nobody waits for any more */
  #whomToAsk(removed?: PeerName): PeerName[] {
    const { self, store, peers } = this.#env;
    const asked = peers.reachable();
    const before = this.#current?.waiting.keys() ?? readStored(store, KEY, shape, "'weave reset' starts anew.") ?? [];
    return [...new Set([...asked, ...before])].filter((peer) => peer !== removed && peer !== self);
  }

  #begin(waiting: readonly PeerName[]): void {
    const pending = this.#pending();
    if (pending.length === 0) return;
    const { self, clock, random } = this.#env;
    const removed = pending.map(({ value }) => value.from);
    const owners = [...(this.#state.ring?.shares().keys() ?? [])];
    const takeover: Takeover = {
      id: random.below(2 ** 32),
      since: clock.now(),
      asked: 0,
      waiting: new Map(waiting.map((peer) => [peer, undefined])),
      held: new Map(),
      without: new Set(owners.filter((peer) => peer !== self && !waiting.includes(peer) && !removed.includes(peer))),
      done: this.#current?.done ?? [],
    };
    this.#current = takeover;
    this.#ask(takeover);
    this.#settle(takeover);
  }

  #ask(takeover: Takeover): void {
    takeover.asked = this.#env.clock.now();
    const { ring } = this.#state;
    if (ring === undefined) return;
    const message = { kind: "agree", ring: ring.id, id: takeover.id, spans: this.#pending() } as const;
    for (const peer of takeover.waiting.keys()) this.#env.unicast(peer, message);
  }

  #settle(takeover: Takeover): void {
    if (takeover.waiting.size > 0) return;
    const settled = this.#pending().flatMap((span) => this.#settledParts(span, takeover));
    // Before the ring changes: on that whoever waits tries again.
    this.#current = undefined;
    this.#state.decide(settled);
    this.#env.store.remove(KEY);
    this.notAsked = [...takeover.without];
    for (const peer of takeover.without) this.settledWithout.add(peer);
    if (takeover.without.size > 0) {
      this.#env.log.warn("addresses were taken over without the word of peers that could not be asked", {
        peers: [...takeover.without].map((peer) => peerText(this.#env, peer)),
      });
    }
    for (const done of takeover.done) done();
  }

  /** Ours, but for the addresses that containers elsewhere hold: in one step, so that no crash comes between. */
  #settledParts({ start, end, value }: Span, { held }: Takeover): Span[] {
    const { self } = this.#env;
    const ours = { ...value, version: successor(value.version), pending: false };
    const kept = [...held]
      .filter(([address, owner]) => contains({ start, end }, address) && owner !== self)
      .map(([address, owner]): Span => {
        const theirs = this.#state.successor(ours, { owner, cause: "kept" });
        return { start: address, end: address + 1n, value: theirs };
      })
      .sort((a, b) => (a.start < b.start ? -1 : 1));
    const rest = subtract({ start, end }, kept).map((part): Span => ({ ...part, value: ours }));
    return [...kept, ...rest].sort((a, b) => (a.start < b.start ? -1 : 1));
  }
}
