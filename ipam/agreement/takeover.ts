import * as z from "zod/mini";
import type { Consents } from "#ipam/agreement/consents.js";
import type { Participants } from "#ipam/agreement/participants.js";
import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import { ALIVE_ID, RemovedPeers } from "#ipam/agreement/removed-peers.js";
import { RESET_HINT, type RingState, unixSeconds } from "#ipam/agreement/ring-state.js";
import type { Stands } from "#ipam/agreement/stands.js";
import { takeoversOf } from "#ipam/ring/consent.js";
import { isClaim } from "#ipam/ring/deed.js";
import { contains, sorted, subtract } from "#ipam/ring/interval.js";
import { describePeer } from "#ipam/ring/reason.js";
import { compareOwnership, type Ownership, type Span } from "#ipam/ring/ring.js";
import { type IpamMessage, MAX_PARTS } from "#ipam/wire/ipam-message.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import { successor } from "#mesh/counter.js";
import { type KnownPeers, type PeerName, peerNameShape } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import { readStored, type Store } from "#src/store.js";

/** Interval between requests to a peer that has not answered. */
const REPEAT_MS = 2_000;
/** Time after which an unreachable peer that owns no addresses is no longer awaited. */
const ABSENT_MS = 60_000;
/** Time after which a peer that has never sent an IPAM message is no longer awaited: it has no IPAM. */
const NO_IPAM_MS = 10_000;

/** Time after which a reachable peer that does not answer is no longer awaited: it is faulty, or hostile. */
const SILENT_MS = 60_000;
/** Maximum number of addresses in taken spans that one peer may hold. */
const MAX_HELD = 1_024;

const KEY = "ipam/takeover";
const shape = z.array(peerNameShape);

interface Takeover {
  readonly id: number;
  /** Monotonic time of its beginning. */
  readonly since: number;
  /** Monotonic time of the last requests. */
  sent: number;
  /** Peers whose answer is awaited, and the monotonic time since which each is unreachable. */
  readonly waiting: Map<PeerName, number | undefined>;
  /** Addresses of the spans that containers at other peers hold, and the peer of each. */
  readonly held: Map<bigint, PeerName>;
  /** Peers that were unreachable at its beginning, or have not answered: the operator is warned. */
  readonly without: Set<PeerName>;
  /** Called when it is settled. */
  readonly done: (() => void)[];
}

/** The state of a pending takeover. */
export interface TakeoverStatus {
  /** Peers whose answer is awaited. */
  readonly waiting: readonly PeerName[];
  /** Monotonic time of its beginning, in milliseconds. */
  readonly since: number;
}

export interface TakeoversDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  readonly peers: KnownPeers;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly consents: Consents;
  readonly stands: Stands;
  readonly rejections: RejectedMessages;
  readonly participants: Participants;
  /** Returns the addresses that containers of this host hold. */
  readonly heldAddresses: () => Iterable<bigint>;
}

/**
 * Takeover of an unreachable peer's spans (`rmpeer`). It is safe if several peers take over the same spans at the same time, and if
 * the unreachable peer has just made a donation:
 *
 *     rmpeer      This peer becomes the owner of the spans in the next epoch, *pending*: this is on disk and gossiped. No peer
 *                 allocates from pending spans.
 *     agree       The request to every reachable peer, which merges the spans first. If it has taken them over too, the order
 *                 of the ring has decided then, and its answer contains the result. The answer also contains the addresses
 *                 in the spans that its own containers hold.
 *     settled     When all peers have answered, this peer allocates from the spans that it still owns. An address with a holder
 *                 at another peer is transferred to that peer. A peer that becomes unreachable before it answers is awaited
 *                 until it comes back, or is removed itself.
 *
 * Of two takeovers at peers that can reach each other only one is settled, because each needs the answer of the other peer.
 */
export class Takeovers {
  readonly #deps: TakeoversDeps;
  readonly #state: RingState;
  #current: Takeover | undefined;
  /** Peers that have not agreed to settled takeovers: if one of them takes over the same spans, addresses may be held twice. */
  readonly settledWithout = new Set<PeerName>();
  readonly #removed: RemovedPeers;
  /** Peers that have not agreed to the last takeover. */
  missingAgreement: readonly PeerName[] = [];

  constructor(deps: TakeoversDeps) {
    this.#deps = deps;
    this.#state = deps.state;
    this.#removed = new RemovedPeers(deps);
  }

  /** Takes over all spans of a peer. @returns the number of addresses taken over @throws WEAVE_STORE */
  takeOver(peer: PeerName): bigint {
    const { self, clock, store } = this.#deps;
    const spans = this.#state.ring?.ownedBy(peer) ?? [];
    // The list of awaited peers must be on disk before the spans: a power cut between the two must not lose it.
    const waiting = this.#peersToQuery(peer);
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

  /** Resolves when no span of this peer is pending. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#current === undefined) resolve();
      else this.#current.done.push(resolve);
    });
  }

  /** Undefined while no takeover is pending. */
  get status(): TakeoverStatus | undefined {
    return this.#current === undefined
      ? undefined
      : { waiting: [...this.#current.waiting.keys()], since: this.#current.since };
  }

  /**
   * Repeats requests, resumes a takeover that was pending before a restart, and ends the wait for peers without IPAM or addresses.
   *
   * @throws WEAVE_STORE
   */
  tick(): void {
    this.#returnToLiving();
    if (this.#current === undefined) {
      if (this.#pending().length > 0) this.#begin(this.#peersToQuery());
      return;
    }
    const takeover = this.#current;
    const now = this.#deps.clock.now();
    const reachable = this.#deps.peers.reachable();
    const owners = this.#state.ring?.shares();
    const participants = this.#deps.participants.all();
    for (const [peer, awaySince] of takeover.waiting) {
      if (!participants.has(peer)) {
        if (now - takeover.since < NO_IPAM_MS) continue;
        takeover.waiting.delete(peer);
        takeover.without.add(peer);
      } else if (reachable.has(peer)) {
        takeover.waiting.set(peer, undefined);
        if (now - takeover.since >= SILENT_MS) {
          takeover.waiting.delete(peer);
          takeover.without.add(peer);
        }
      } else if (awaySince === undefined) takeover.waiting.set(peer, now);
      else if (!owners?.has(peer) && now - awaySince > ABSENT_MS) takeover.waiting.delete(peer);
    }
    if (now - takeover.sent >= REPEAT_MS) this.#send(takeover);
    this.#settle(takeover);
  }

  /**
   * Answers another peer's request, whose spans are already merged. A takeover of a peer that is alive gets no answer.
   *
   * @throws WEAVE_STORE
   */
  answer(from: PeerName, { id, spans }: Extract<IpamMessage, { kind: "agree" }>): void {
    const { ring, deeds } = this.#state;
    const { consents, heldAddresses, sender } = this.#deps;
    const self = this.#deps.self;
    // The removed peer itself answers: so the other one learns that it has not agreed.
    if (ring === undefined) return;
    if (spans.some((span) => span.value.from !== self && deeds.refuses(ring, span))) return;
    // What the removed peer had given to this one is not the other one's: it learns that, and asks again about the rest.
    const proofs = spans.flatMap((span) => (span.value.from === self ? [] : deeds.proofsAgainst(ring, span)));
    if (proofs.length > 0) {
      sender.unicast(from, { kind: "titles", ring: ring.id, spans: proofs.slice(0, MAX_PARTS), consents: [] });
      return;
    }
    // Written before the answer is sent: a crash must not undo it.
    this.#state.flush();
    const held = [...heldAddresses()].filter((address) => spans.some((span) => contains(span, address)));
    const known = spans.flatMap((span) => deeds.titles.within(span).filter(({ value }) => isLater(value, span.value)));
    // Only takeovers that this peer has accepted.
    const claims = spans.flatMap((span) => deeds.titles.within(span)).filter(({ value }) => isClaim(value));
    const takeovers = takeoversOf(claims);
    for (const each of takeovers) if (each.owner !== this.#deps.self) consents.give(ring.id, each);
    sender.unicast(from, {
      kind: "agreed",
      ring: ring.id,
      id,
      spans: known,
      consents: consents.about(takeovers),
      held,
    });
  }

  /** Handles an answer to this peer's request, whose spans are already merged. @throws WEAVE_STORE */
  answered(from: PeerName, { id, held }: Extract<IpamMessage, { kind: "agreed" }>): void {
    if (id === ALIVE_ID) this.#removed.answered(from);
    const takeover = this.#current;
    if (takeover?.id !== id || !takeover.waiting.delete(from)) return;
    // Each becomes a decision of its own. More containers than this have their addresses in what one peer owned in no honest case.
    const { stands, rejections } = this.#deps;
    const ring = this.#state.ring!;
    for (const address of held.slice(0, MAX_HELD)) {
      if (takeover.held.has(address) || !contains(ring.range, address)) continue;
      if (this.#state.deeds.hasOwned(ring, from, address) || stands.hasBrought(from, address))
        takeover.held.set(address, from);
      else rejections.note("not its own", from);
    }
    this.#settle(takeover);
  }

  /** Returns addresses to removed peers that are alive after all, and have not given them up. */
  #returnToLiving(): void {
    const returned = this.#removed.due();
    if (returned.length === 0) return;
    this.#deps.log.warn("addresses are returned to a removed peer, which is alive", { addresses: returned.length });
    const current = this.#current;
    this.#current = undefined;
    this.#deps.store.remove(KEY);
    this.#state.decide(returned);
    for (const done of current?.done ?? []) done();
  }

  #pending(): Span[] {
    return this.#state.own.filter(({ value }) => value.pending);
  }

  /** Returns all reachable peers, and those whose answer is still awaited. @param removed a peer that is no longer awaited */
  #peersToQuery(removed?: PeerName): PeerName[] {
    const { self, store, peers } = this.#deps;
    const before = this.#current?.waiting.keys() ?? readStored(store, KEY, shape, RESET_HINT) ?? [];
    return [...new Set([...peers.reachable(), ...before])].filter((peer) => peer !== removed && peer !== self);
  }

  #begin(waiting: readonly PeerName[]): void {
    const pending = this.#pending();
    if (pending.length === 0) return;
    const { self, clock, random } = this.#deps;
    const removed = pending.map(({ value }) => value.from);
    const owners = [...(this.#state.ring?.shares().keys() ?? [])];
    const takeover: Takeover = {
      id: random.below(2 ** 32),
      since: clock.now(),
      sent: 0,
      waiting: new Map(waiting.map((peer) => [peer, undefined])),
      held: new Map(),
      without: new Set(owners.filter((peer) => peer !== self && !waiting.includes(peer) && !removed.includes(peer))),
      done: this.#current?.done ?? [],
    };
    this.#current = takeover;
    this.#send(takeover);
    this.#settle(takeover);
  }

  #send(takeover: Takeover): void {
    takeover.sent = this.#deps.clock.now();
    const { ring } = this.#state;
    if (ring === undefined) return;
    const message = { kind: "agree", ring: ring.id, id: takeover.id, spans: this.#pending() } as const;
    for (const peer of takeover.waiting.keys()) this.#deps.sender.unicast(peer, message);
  }

  #settle(takeover: Takeover): void {
    if (takeover.waiting.size > 0) return;
    const { store, log, peers } = this.#deps;
    const settled = this.#pending().flatMap((span) => this.#settledParts(span, takeover));
    // The takeover must end before the ring is set, which retries blocked requests.
    this.#current = undefined;
    this.#state.decide(settled);
    store.remove(KEY);
    this.missingAgreement = [...takeover.without];
    for (const peer of takeover.without) this.settledWithout.add(peer);
    if (takeover.without.size > 0) {
      log.warn("addresses were taken over without the agreement of unreachable peers", {
        peers: [...takeover.without].map((peer) => describePeer(peers, peer)),
      });
    }
    for (const done of takeover.done) done();
  }

  /** Divides a pending span: addresses with a holder at another peer go to that peer, the rest is settled for this peer. */
  #settledParts({ start, end, value }: Span, { held }: Takeover): Span[] {
    const { self } = this.#deps;
    const ours = { ...value, version: successor(value.version), pending: false };
    const others = [...held].filter(([address, owner]) => contains({ start, end }, address) && owner !== self);
    const kept = sorted(
      others.map(([address, owner]): Span => {
        const theirs = this.#state.successor(ours, { owner, cause: "kept" });
        return { start: address, end: address + 1n, value: theirs };
      }),
    );
    const rest = subtract({ start, end }, kept).map((part): Span => ({ ...part, value: ours }));
    return sorted([...kept, ...rest]);
  }
}

const isLater = (a: Ownership, b: Ownership): boolean => compareOwnership(a, b) > 0;
