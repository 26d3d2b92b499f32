import type { LivingPeers } from "#ipam/agreement/living-peers.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import { overlap, sizeOf } from "#ipam/ring/interval.js";
import { describePeer } from "#ipam/ring/reason.js";
import type { Ownership, Ring, Span } from "#ipam/ring/ring.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import { successor } from "#mesh/counter.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Log } from "#src/log.js";

/** Maximum number of disputed spans that are resolved at a time: each costs a signature and a message to all peers. */
const MAX_AT_ONCE = 64;

export interface DisputesDeps {
  readonly self: PeerName;
  readonly log: Log;
  readonly peers: KnownPeers;
  readonly living: LivingPeers;
  readonly sender: MessageSender;
  readonly state: RingState;
}

/**
 * Ends disputes about addresses, which decisions in two separate halves of the network have left. Each peer ends what it has a word in:
 *
 *     confirm     other peers know this one as the owner by a later decision: it signs its ownership again, above that
 *     repeat      they do, and it has given the addresses away meanwhile: it signs that transfer again
 *     give way    this peer and another one have taken over the same addresses: the lower takeover ends, unless more owners have
 *                 agreed to it
 *     hand over   this peer has addresses by the takeover of a removed one, which had given them to a third peer before, unknown to
 *                 that takeover: the receiver shows that transfer, and gets them
 *
 * So no peer loses addresses by another one's message alone.
 */
export class Disputes {
  readonly #deps: DisputesDeps;

  constructor(deps: DisputesDeps) {
    this.#deps = deps;
  }

  /** @throws WEAVE_STORE */
  tick(): void {
    const { state } = this.#deps;
    const { ring, deeds } = state;
    if (ring === undefined) return;
    let decided = 0;
    for (const transfer of deeds.takeEarlier()) {
      if (decided >= MAX_AT_ONCE) return;
      const spans = deeds.givenBefore(state.ring as Ring, transfer).map((span): Span => {
        return {
          ...span,
          value: state.successor(span.value, { owner: transfer.value.owner, cause: "kept", pending: false }),
        };
      });
      decided += spans.length;
      if (spans.length > 0) this.#giveTo(transfer.value.owner, spans);
    }
    this.#showTransfers(state.ring as Ring);
    for (const offer of deeds.waiting) {
      if (decided >= MAX_AT_ONCE) return;
      const spans = (state.ring as Ring).within(offer).flatMap((known): Span[] => {
        const value = this.#resolve(known, offer.value);
        return value === undefined ? [] : [{ start: known.start, end: known.end, value }];
      });
      decided += spans.length;
      state.decide(spans);
    }
  }

  /** Gives addresses to the peer that a removed one had given them to. @throws WEAVE_STORE */
  #giveTo(receiver: PeerName, spans: readonly Span[]): void {
    const { log, peers, state } = this.#deps;
    log.warn("a removed peer had given addresses away before they were taken over; their receiver gets them", {
      peer: describePeer(peers, receiver),
      addresses: Number(spans.reduce((sum, span) => sum + sizeOf(span), 0n)),
    });
    state.decide(spans, receiver);
  }

  /** Shows to the owners by a takeover what the removed peer had given to this one before. */
  #showTransfers(ring: Ring): void {
    const { self, sender, state } = this.#deps;
    const shown = new Map<PeerName, Span[]>();
    for (const offer of state.deeds.waiting) {
      const { owner } = offer.value;
      const proofs = owner === self ? [] : state.deeds.proofsAgainst(ring, offer);
      if (proofs.length > 0) shown.set(owner, [...(shown.get(owner) ?? []), ...proofs].slice(0, MAX_AT_ONCE));
    }
    for (const [owner, spans] of shown) sender.unicast(owner, { kind: "titles", ring: ring.id, spans, consents: [] });
  }

  /** Returns this peer's decision about a span that is disputed by an offer; undefined if it has none to make. */
  #resolve(span: Span, offer: Ownership): Ownership | undefined {
    const { value: known } = span;
    const { self, state } = this.#deps;
    const above = {
      epoch: Math.max(known.epoch, offer.epoch),
      version: successor(Math.max(known.version, offer.version)),
    };
    if (offer.owner === self && !offer.pending && !known.pending) {
      // Of what was given twice, the receiver that is confirmed ends the dispute.
      if (known.owner === self && state.unconfirmed.some((each) => overlap(each, span) !== undefined)) return undefined;
      if (known.owner === self) return state.successor(known, { ...above, owner: self, cause: "tidied" });
      return known.deed?.by === self
        ? state.successor(known, { ...above, owner: known.owner, cause: "donation", from: self })
        : undefined;
    }
    return this.#givesWay(known, offer)
      ? state.successor(known, { owner: offer.owner, cause: "kept", epoch: successor(known.epoch), version: 0 })
      : undefined;
  }

  #givesWay(known: Ownership, offer: Ownership): boolean {
    const { self, living, state, log, peers } = this.#deps;
    const both = known.cause === "rmpeer" && offer.cause === "rmpeer" && known.from === offer.from;
    if (!both || known.owner !== self || known.pending || offer.owner === self || offer.epoch !== known.epoch)
      return false;
    const ring = state.ring as Ring;
    if (living.agreements(known, ring) > living.agreements(offer, ring)) return false;
    log.warn("another peer has taken the same addresses over, and gets them", {
      peer: describePeer(peers, offer.owner),
    });
    return true;
  }
}
