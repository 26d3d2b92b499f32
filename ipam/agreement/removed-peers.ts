import type { Consents } from "#ipam/agreement/consents.js";
import { type RingState, unixSeconds } from "#ipam/agreement/ring-state.js";
import { type TakeoverKey, takeoverOf } from "#ipam/ring/consent.js";
import { isClaim } from "#ipam/ring/deed.js";
import { sorted } from "#ipam/ring/interval.js";
import type { Span } from "#ipam/ring/ring.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** Time for which a removed peer must be reachable before it gets its addresses back. */
const ALIVE_MS = 15_000;
/** Interval between questions to it. */
const ASK_MS = 2_000;
/** The number of the question whether a removed peer has agreed. Takeovers have random numbers below it. */
export const ALIVE_ID = 2 ** 32;
/** Age of a takeover, in seconds, from which the removed peer gets nothing back: others have built on it. */
const RECLAIM_S = 3_600;

interface RemovedPeersDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly peers: KnownPeers;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly consents: Consents;
}

/** A part of what this peer owns, and the takeover that it has it from. */
type Taken = Span & { readonly key: TakeoverKey };

/** The peers whose addresses this one has by a takeover, and which of them are alive after all. */
export class RemovedPeers {
  readonly #deps: RemovedPeersDeps;
  /** Removed peers that are reachable, and the monotonic time since when. */
  readonly #aliveSince = new Map<PeerName, number>();
  /** Those of them that have answered. One that has agreed as well is no longer considered. */
  readonly #denied = new Set<PeerName>();
  /** Monotonic time of the last question to them. */
  #askedAt = 0;

  constructor(deps: RemovedPeersDeps) {
    this.#deps = deps;
  }

  /** Handles an answer to the question {@link ALIVE_ID}. It is without the agreement of that peer, which would have been recorded already. */
  answered(from: PeerName): void {
    if (this.#aliveSince.has(from)) this.#denied.add(from);
  }

  /** Asks removed peers that are reachable. @returns decisions by which those that have not given up their addresses get them back */
  due(): Span[] {
    const { clock, consents, state } = this.#deps;
    const { ring } = state;
    if (ring === undefined) return [];
    const taken = this.#taken();
    this.#note(new Set(taken.map(({ key }) => key.from)));
    const open = taken.filter(({ key }) => this.#aliveSince.has(key.from) && !consents.to(key).has(key.from));
    this.#ask(ring.id, open);
    const isDue = ({ key }: Taken) =>
      clock.now() - this.#aliveSince.get(key.from)! >= ALIVE_MS && this.#denied.has(key.from);
    return open.filter(isDue).map(({ start, end, value, key: { from: owner } }) => {
      return { start, end, value: state.successor(value, { owner, cause: "kept", pending: false }) };
    });
  }

  /** Also what this peer has got from the peer that took it over. */
  #taken(): Taken[] {
    const { self, clock, state } = this.#deps;
    return state.own.flatMap(({ start, end, value }) =>
      state.deeds.titles
        .within({ start, end })
        .filter((claim) => isClaim(claim.value) && claim.value.epoch === value.epoch && claim.value.from !== self)
        .filter((claim) => unixSeconds(clock) - claim.value.since < RECLAIM_S)
        .map((claim) => ({ start: claim.start, end: claim.end, value, key: takeoverOf(claim.value) as TakeoverKey })),
    );
  }

  /** Notes which removed peers are reachable. */
  #note(removed: ReadonlySet<PeerName>): void {
    const { clock, peers } = this.#deps;
    for (const peer of this.#aliveSince.keys()) if (!removed.has(peer)) this.#aliveSince.delete(peer);
    for (const peer of removed) {
      if (!peers.reachable().has(peer)) {
        this.#aliveSince.delete(peer);
        this.#denied.delete(peer);
      } else if (!this.#aliveSince.has(peer)) this.#aliveSince.set(peer, clock.now());
    }
  }

  /** Asks removed peers that are reachable whether they have given their addresses up: a lost message must not look like a denial. */
  #ask(ring: string, open: readonly Taken[]): void {
    const { clock, sender } = this.#deps;
    if (open.length === 0 || clock.now() - this.#askedAt < ASK_MS) return;
    this.#askedAt = clock.now();
    for (const peer of new Set(open.map(({ key }) => key.from))) {
      const spans = sorted(open.filter(({ key }) => key.from === peer));
      sender.unicast(peer, {
        kind: "agree",
        ring,
        id: ALIVE_ID,
        spans: spans.map(({ start, end, value }) => ({ start, end, value })),
      });
    }
  }
}
