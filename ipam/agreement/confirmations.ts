import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { Participants } from "#ipam/agreement/participants.js";
import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { Stands } from "#ipam/agreement/stands.js";
import { contains, type Interval, overlap, sizeOf, sorted, subtract } from "#ipam/ring/interval.js";
import { describePeer, type Reason } from "#ipam/ring/reason.js";
import { compareOwnership, type Ownership, type Span } from "#ipam/ring/ring.js";
import { intervalText } from "#ipam/ring/subnet.js";
import { byRank } from "#ipam/ring/titles.js";
import { type IpamMessage, MAX_KEPT, MAX_PARTS } from "#ipam/wire/ipam-message.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import { successor } from "#mesh/counter.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock, Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Interval after which a question is repeated the first time; each later one is twice as long. A round trip is seldom longer. */
const REPEAT_MS = 150;
/** Time for which the answer of a reachable peer is awaited: as long as that of a donor. */
const ANSWER_MS = 3_000;
/** Time for which a peer that has not answered is asked, but not awaited, so that a silent one delays others seldom. */
const SILENT_MS = 600_000;
/** Interval between questions to a peer that has refused. */
const REFUSED_MS = 5_000;
/** Time after a refusal, in which the receiver of the lower transfer gives way, and from which that of the higher one does. */
const YIELD_MS = 10_000;
/** Rate of rounds for the transfers of one giver; those beyond it wait for the next tick, which joins them. */
const ROUND_RATE = { perSecond: 4, burst: 8 };
/** Maximum number of rounds at a time. */
const MAX_ROUNDS = 64;

/** The question to all about spans that one peer has given to this one. */
interface Round {
  readonly id: number;
  readonly giver: PeerName;
  readonly spans: readonly Span[];
  /** Monotonic time of its beginning. */
  readonly since: number;
  /** Monotonic time of the next question, and the interval after it. */
  next: number;
  pause: number;
  /** Peers that were asked: answers of others do not count. */
  readonly asked: Set<PeerName>;
  readonly agreed: Set<PeerName>;
  /** Peers that know of another transfer of these addresses by the giver, and that one. */
  readonly refusals: Map<PeerName, readonly Span[]>;
  /** Monotonic time of the first refusal. */
  refusedAt: number | undefined;
  /** Whether some peers know this one as the owner by another decision: it must sign one above both. */
  divided: boolean;
  /** Addresses that containers at other peers hold, and the peer of each. */
  readonly held: Map<bigint, PeerName>;
}

export interface ConfirmationsDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly peers: KnownPeers;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly stands: Stands;
  readonly participants: Participants;
  readonly ownershipCheck: OwnershipCheck;
  readonly rejections: RejectedMessages;
  /** Returns the addresses that containers of this host hold. */
  readonly heldAddresses: () => Iterable<bigint>;
}

/**
 * Confirmation of space that another peer has given to this one. A giver can sign two transfers of the same addresses to two peers. So
 * the receiver allocates from them only when all reachable peers know its transfer:
 *
 *     asked       Each reachable peer gets the transfer. One that takes it answers that it agrees, with the addresses that its
 *                 containers hold, and takes no other transfer of the giver after that.
 *     refused     A peer that knows another transfer sends that: its signature proves that the giver has given twice. The
 *                 addresses are withheld. The receiver of the lower transfer gives them to that of the other one; if it does
 *                 not, because it allocates from them already, the receiver of the higher one does so.
 *     confirmed   When all have agreed, this peer allocates from the addresses. Those that a container elsewhere holds go to its
 *                 peer, if that one has owned them.
 *
 * Of two receivers that can reach each other only one gets all answers, because each needs that of the other one. A peer that does not
 * answer is not awaited for ever: it could stop all allocation.
 */
export class Confirmations {
  readonly #deps: ConfirmationsDeps;
  readonly #rounds = new Map<number, Round>();
  readonly #rate: RateLimiter;
  /** Reachable peers that have not answered, and the monotonic time until which they are not awaited. */
  readonly #silent = new Map<PeerName, number>();
  #timer: Timer | undefined;
  /** Whether {@link look} is running, which changes the ring. */
  #looking = false;

  constructor(deps: ConfirmationsDeps) {
    this.#deps = deps;
    this.#rate = new RateLimiter(deps.clock, ROUND_RATE);
  }

  /**
   * Asks about spans that were received meanwhile, and ends what is confirmed. Called after each change of the ring, and regularly. What
   * cannot be written, as on a full disk, is logged and tried again: timers, and changes that are made already, must not fail by it.
   */
  look(): void {
    const { ownershipCheck, log } = this.#deps;
    // After a start, the mesh has not connected to all peers yet.
    if (ownershipCheck.running || this.#looking) return;
    this.#looking = true;
    try {
      this.#dropLost();
      this.#beginNew();
      for (const round of this.#rounds.values()) this.#advance(round);
    } catch (error) {
      if (!(error instanceof WeaveError) || error.code !== "WEAVE_STORE") throw error;
      log.error("what other peers have given to this one could not be confirmed, and is tried again", {
        why: errorText(error),
      });
      return;
    } finally {
      this.#looking = false;
    }
    this.#wakeLater();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Answers another peer's question, whose spans are already merged. */
  answer(from: PeerName, { id, spans }: Extract<IpamMessage, { kind: "confirm" }>): void {
    const { state, sender, heldAddresses } = this.#deps;
    const { ring, deeds } = state;
    if (ring === undefined) return;
    const known = spans.flatMap((span) =>
      ring.within(span).map((each) => ({ ...each, same: each.value.owner === from && !each.value.pending })),
    );
    const agreed = known.every(({ same }) => same);
    if (agreed) deeds.settle(known);
    // What the asking peer lacks: later decisions, and other ones of the same giver.
    const others = spans.flatMap((span) =>
      deeds.titles
        .within(span)
        .filter(({ value }) => value.deed?.by === span.value.deed?.by && compareOwnership(value, span.value) !== 0),
    );
    const differing = spans.flatMap((span) =>
      ring.within(span).filter(({ value }) => value.deed !== undefined && compareOwnership(value, span.value) !== 0),
    );
    sender.unicast(from, {
      kind: "confirmed",
      ring: ring.id,
      id,
      agreed,
      spans: (agreed ? differing : [...differing, ...others]).slice(0, MAX_PARTS),
      held: [...heldAddresses()].filter((address) => spans.some((span) => contains(span, address))).slice(0, MAX_KEPT),
    });
  }

  /** Handles an answer to this peer's question, whose spans are already merged. */
  answered(from: PeerName, { id, agreed, spans, held }: Extract<IpamMessage, { kind: "confirmed" }>): void {
    const { clock, state, rejections } = this.#deps;
    const round = this.#rounds.get(id);
    if (round === undefined || !round.asked.has(from)) return;
    const ring = state.ring!;
    for (const address of held)
      if (round.spans.some((span) => contains(span, address)) && !round.held.has(address))
        round.held.set(address, from);
    if (agreed) {
      this.#silent.delete(from);
      round.agreed.add(from);
      round.refusals.delete(from);
      round.divided ||= state.deeds.isDivided(ring, this.#open(round), spans, from);
    } else {
      const proofs = state.deeds.contradictions(ring, this.#open(round), spans, from);
      if (proofs.length > 0) {
        this.#silent.delete(from);
        if (round.refusals.size === 0) rejections.noteSigner("contradiction", round.giver);
        round.refusals.set(from, proofs);
        round.refusedAt ??= clock.now();
      }
    }
    this.look();
  }

  /** Whether addresses of an interval wait for answers that may come within some seconds. */
  isAwaited(bounds: Interval): boolean {
    return [...this.#rounds.values()].some(
      ({ refusals, spans }) => refusals.size === 0 && spans.some((span) => overlap(span, bounds) !== undefined),
    );
  }

  /** Returns the peers whose answer is awaited. */
  get awaited(): PeerName[] {
    return [...new Set([...this.#rounds.values()].flatMap((round) => this.#missing(round)))];
  }

  /** Describes the addresses that a peer has given twice, and that are not allocated here. */
  status(): Reason[] {
    const { peers } = this.#deps;
    return [...this.#rounds.values()].flatMap(({ giver, spans, refusals }) => {
      if (refusals.size === 0) return [];
      const others = new Set([...refusals.values()].flat().map(({ value }) => describePeer(peers, value.owner)));
      const size = spans.reduce((sum, span) => sum + sizeOf(span), 0n);
      return [
        {
          why: `${describePeer(peers, giver)} has given ${size} addresses (${intervalText(spans[0])}…) to this peer and to ${[...others].join(", ")}; none of them is allocated here`,
          next: `That peer is faulty or hostile: exclude it ('weave rekey --exclude'), then 'weave rmpeer' it.`,
        },
      ];
    });
  }

  /** Ends the rounds of which this peer owns nothing any more. */
  #dropLost(): void {
    for (const round of this.#rounds.values()) if (this.#open(round).length === 0) this.#rounds.delete(round.id);
  }

  #beginNew(): void {
    const asked = [...this.#rounds.values()].flatMap(({ spans }) => spans);
    const fresh = new Map<PeerName, Span[]>();
    for (const span of this.#deps.state.unconfirmed) {
      if (asked.some((each) => isSame(span, each))) continue;
      const giver = span.value.deed?.by ?? span.value.owner;
      fresh.set(giver, [...(fresh.get(giver) ?? []), span]);
    }
    for (const [giver, spans] of fresh)
      if (this.#rounds.size < MAX_ROUNDS && this.#rate.admit(giver)) this.#begin(giver, spans.slice(0, MAX_PARTS));
  }

  /** Returns the parts of a round's spans that are still unconfirmed. */
  #open({ spans }: Round): Span[] {
    return this.#deps.state.unconfirmed.flatMap((each) => {
      const parts = spans.filter((span) => isSame(span, each));
      return parts.map((span): Span => ({ ...(overlap(span, each) as Interval), value: each.value }));
    });
  }

  #begin(giver: PeerName, spans: readonly Span[]): void {
    const { random, clock } = this.#deps;
    const now = clock.now();
    const id = random.below(2 ** 32);
    const empty = { asked: new Set<PeerName>(), agreed: new Set<PeerName>(), refusals: new Map(), held: new Map() };
    this.#rounds.set(id, {
      id,
      giver,
      spans,
      since: now,
      next: now,
      pause: REPEAT_MS,
      refusedAt: undefined,
      divided: false,
      ...empty,
    });
  }

  #advance(round: Round): void {
    const now = this.#deps.clock.now();
    if (round.refusals.size > 0) this.#giveWay(round, now);
    if (this.#open(round).length === 0) {
      this.#rounds.delete(round.id);
      return;
    }
    if (now - round.since >= ANSWER_MS)
      for (const peer of this.#missing(round)) if (!round.refusals.has(peer)) this.#silent.set(peer, now + SILENT_MS);
    if (this.#missing(round).length === 0 && round.refusals.size === 0) this.#confirm(round);
    else if (now >= round.next) this.#ask(round, now);
  }

  /** Peers that must agree: all that take part and are reachable, and that do not stand by another ring. */
  #missing({ giver, agreed }: Round): PeerName[] {
    const { self, clock, peers, participants, stands, state } = this.#deps;
    const reachable = peers.reachable();
    const id = state.ring?.id;
    return [...participants.all()].filter(
      (peer) =>
        peer !== self &&
        peer !== giver &&
        reachable.has(peer) &&
        !agreed.has(peer) &&
        (stands.of(peer) ?? id) === id &&
        (this.#silent.get(peer) ?? 0) <= clock.now(),
    );
  }

  #ask(round: Round, now: number): void {
    const { self, state, sender, peers, participants } = this.#deps;
    round.next = now + (round.refusals.size > 0 ? REFUSED_MS : round.pause);
    round.pause *= 2;
    const message = { kind: "confirm", ring: state.ring!.id, id: round.id, spans: sorted(round.spans) } as const;
    const reachable = peers.reachable();
    for (const peer of participants.all())
      if (peer !== self && peer !== round.giver && reachable.has(peer) && !round.agreed.has(peer)) {
        round.asked.add(peer);
        sender.unicast(peer, message);
      }
  }

  #confirm(round: Round): void {
    const { self, state, stands, rejections } = this.#deps;
    const spans = this.#open(round);
    const kept: Span[] = [];
    for (const [address, owner] of round.held) {
      const span = spans.find((each) => contains(each, address));
      if (span === undefined || owner === self) continue;
      if (!state.deeds.hasOwned(state.ring!, owner, address) && !stands.hasBrought(owner, address)) {
        rejections.note("not its own", owner);
        continue;
      }
      kept.push({ start: address, end: address + 1n, value: state.successor(span.value, { owner, cause: "kept" }) });
    }
    const rest = spans.flatMap((span) => subtract(span, sorted(kept)).map((part) => ({ ...part, value: span.value })));
    const again = round.divided ? rest : [];
    const signed = again.map((span): Span => {
      return { ...span, value: state.successor(span.value, { owner: self, cause: "tidied" }) };
    });
    if (kept.length + signed.length > 0) state.decide(sorted([...kept, ...signed]));
    this.#rounds.delete(round.id);
    state.confirm([...spans, ...signed]);
  }

  /** Gives addresses that were given twice to the other receiver, see {@link Confirmations}. */
  #giveWay(round: Round, now: number): void {
    const { state, log, peers, self } = this.#deps;
    const { refusals, refusedAt } = round;
    const rivals = [...refusals.values()].flat().sort((a, b) => -byRank(a, b));
    const decisions: Span[] = [];
    for (const span of this.#open(round)) {
      for (const rival of rivals) {
        const common = overlap(span, rival);
        const yields = compareOwnership(span.value, rival.value) < 0 || now - (refusedAt ?? now) >= YIELD_MS;
        if (common === undefined || !yields || rival.value.owner === self) continue;
        for (const part of subtract(common, sorted(decisions)))
          decisions.push({ ...part, value: above(state, span.value, rival.value) });
      }
    }
    if (decisions.length === 0) return;
    log.warn("a peer has given the same addresses to two others; this one gives way", {
      to: [...new Set(decisions.map(({ value }) => describePeer(peers, value.owner)))],
    });
    state.decide(sorted(decisions));
  }

  #wakeLater(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#rounds.size === 0) return;
    const { clock } = this.#deps;
    const ends = [...this.#rounds.values()].flatMap(({ since, next }) => [next, since + ANSWER_MS]);
    const next = Math.min(...ends.filter((each) => each > clock.now()));
    this.#timer = clock.after(Math.max(1, next - clock.now()), () => this.look());
  }
}

const isSame = (a: Span, b: Span): boolean => overlap(a, b) !== undefined && compareOwnership(a.value, b.value) === 0;

/** The transfer of an ownership to the owner of another one, above both. */
function above(state: RingState, known: Ownership, other: Ownership): Ownership {
  const epoch = Math.max(known.epoch, other.epoch);
  const version = successor(Math.max(known.version, other.version));
  return state.successor(known, { owner: other.owner, cause: "kept", epoch, version });
}
