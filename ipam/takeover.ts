import type { Holdings } from "#ipam/holdings.js";
import { contains, subtract } from "#ipam/interval.js";
import type { Message } from "#ipam/messages.js";
import type { Span } from "#ipam/ring.js";
import type { RingState } from "#ipam/ring-state.js";
import { peerText, type Surroundings, unixSeconds } from "#ipam/surroundings.js";
import type { PeerName } from "#mesh/peer.js";

/** Who has not answered is asked again this often, */
const REPEAT_MS = 2_000;
/** and is given up after this long: it may have no IPAM, or be dying. Then the log and `status` name it. */
const GIVE_UP_MS = 30_000;

interface Takeover {
  readonly id: number;
  readonly since: number;
  asked: number;
  readonly waiting: Set<PeerName>;
  /** What containers elsewhere hold of it: theirs to keep. */
  readonly held: Map<bigint, PeerName>;
  /** Were not within reach, or did not answer. */
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
 *                 holders.
 *
 * Two claims are never both settled, as long as their makers can reach each other: each needs the other's answer.
 */
export class Takeovers {
  readonly #env: Surroundings;
  readonly #state: RingState;
  readonly #holdings: Holdings;
  /** Peers that take part in IPAM, as far as is known: others never answer. */
  readonly #participants: () => ReadonlySet<PeerName>;
  #current: Takeover | undefined;
  /** Did not answer, or could not be asked, when something was settled: if they claim it too, addresses may be double. */
  readonly settledWithout = new Set<PeerName>();

  constructor(env: Surroundings, state: RingState, holdings: Holdings, participants: () => ReadonlySet<PeerName>) {
    this.#env = env;
    this.#state = state;
    this.#holdings = holdings;
    this.#participants = participants;
  }

  /** Claims all that a peer owns. @returns the number of addresses claimed @throws WEAVE_STORE */
  claim(peer: PeerName): bigint {
    const { self } = this.#env;
    const spans = this.#state.ring?.ownedBy(peer) ?? [];
    const since = unixSeconds(this.#env.clock);
    this.#state.decide(
      spans.map(({ start, end, value }) => ({
        start,
        end,
        value: { owner: self, epoch: value.epoch + 1, version: 0, pending: true, since, cause: "rmpeer", from: peer },
      })),
    );
    this.#begin();
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
      : { waiting: [...this.#current.waiting], since: this.#current.since };
  }

  /** Asks on, takes up what was pending before a restart, and gives up those who do not answer. @throws WEAVE_STORE */
  tick(): void {
    if (this.#current === undefined) {
      if (this.#pending().length > 0) this.#begin();
      return;
    }
    const takeover = this.#current;
    const now = this.#env.clock.now();
    const reachable = this.#env.peers.reachable();
    for (const peer of takeover.waiting) {
      if (reachable.has(peer) && now - takeover.since < GIVE_UP_MS) continue;
      takeover.waiting.delete(peer);
      takeover.without.add(peer);
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
    const held = [...this.#holdings.addresses()]
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

  #begin(): void {
    const pending = this.#pending();
    if (pending.length === 0) return;
    const removed = new Set(pending.map(({ value }) => value.from));
    const reachable = this.#env.peers.reachable();
    const takeover: Takeover = {
      id: this.#env.random.below(2 ** 32),
      since: this.#env.clock.now(),
      asked: 0,
      waiting: new Set([...this.#participants()].filter((peer) => reachable.has(peer))),
      held: new Map(),
      without: new Set(
        [...(this.#state.ring?.shares().keys() ?? [])].filter(
          (peer) => peer !== this.#env.self && !reachable.has(peer) && !removed.has(peer),
        ),
      ),
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
    for (const peer of takeover.waiting) this.#env.unicast(peer, message);
  }

  #settle(takeover: Takeover): void {
    if (takeover.waiting.size > 0) return;
    const settled = this.#pending().flatMap((span) => this.#settledParts(span, takeover));
    // Before the ring changes: on that whoever waits tries again.
    this.#current = undefined;
    this.#state.decide(settled);
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
    const ours = { ...value, version: value.version + 1, pending: false };
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
