import { DeedSignatures } from "#ipam/agreement/deed-signatures.js";
import type { LivingPeers } from "#ipam/agreement/living-peers.js";
import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import { endedBy, isClaim, sign } from "#ipam/ring/deed.js";
import { overlap, sorted, subtract } from "#ipam/ring/interval.js";
import { compareOwnership, type Deed, type Ownership, Ring, type Span } from "#ipam/ring/ring.js";
import { byRank, Titles } from "#ipam/ring/titles.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

/** Time for which an offer waits for the steps that lead to it, or for other peers' agreement. */
const WAIT_MS = 60_000;
/** Maximum number of waiting offers, of all signers and of each. */
const MAX_WAITING = 2_048;
const MAX_WAITING_OF_SIGNER = 64;
/** Maximum number of decisions in an answer that are verified as proofs that a peer has given addresses twice: one suffices. */
const MAX_PROOFS = 16;
/** Number of spans from which a ring is not divided further by other peers. */
const MAX_RING_SPANS = 32_768;
/**
 * Time within which two decisions of one peer about one ownership are ordered by their value, unless the receiver of the first one has
 * asked for its confirmation; a later second one is rejected.
 */
const FORK_MS = 60_000;

/** An ownership that another peer has sent, and that does not follow from the known one yet. */
interface Offer {
  readonly span: Span;
  readonly from: PeerName;
  readonly until: number;
}

/** Whether a decision may follow the known ownership: `later`: a takeover that this peer does not accept now. */
type Verdict = "follows" | "later" | "unrelated";

export interface DeedsDeps {
  readonly self: PeerName;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly peers: KnownPeers;
  readonly rejections: RejectedMessages;
  readonly living: LivingPeers;
}

/**
 * Checks every change of the ring that another peer sends. An ownership ends only by a decision of its owner, which has signed it, or
 * by a takeover. A decision that does not follow from what this peer knows waits for the decisions in between.
 */
export class Deeds {
  readonly #deps: DeedsDeps;
  readonly titles = new Titles();
  readonly #waiting = new Map<string, Offer>();
  readonly #signatures: DeedSignatures;
  /** Monotonic time at which a deed was accepted. */
  readonly #accepted = new WeakMap<Deed, number>();
  /** Decisions that this peer has confirmed to their receiver: it takes no other one of the same giver after that. */
  readonly #settled = new WeakSet<Deed>();
  /** Second decisions about one ownership, each of which is counted once. */
  readonly #contradicting = new WeakSet<Deed>();
  /** Transfers that a removed peer had signed before this peer's side took its addresses over: not decided on yet. */
  readonly #earlier = new Map<string, Span>();
  /** The first division of the ring with this id. */
  #first: Ring | undefined;

  constructor(deps: DeedsDeps) {
    this.#deps = deps;
    this.#signatures = new DeedSignatures(deps);
  }

  /** Signs decisions of this peer. @param ring the id of the ring */
  sign(ring: string, spans: readonly Span[]): Span[] {
    const { signer, self } = this.#deps;
    return spans.map((span): Span => ({ ...span, value: sign(signer, self, ring, span, span.value) }));
  }

  /** Records decisions of this peer that are on disk. */
  record(decisions: readonly Span[]): void {
    for (const span of decisions) {
      this.titles.add(span);
      this.#accepted.set(span.value.deed!, this.#deps.clock.now());
    }
  }

  /**
   * Takes from the offers, and from those that wait, all that follows from a ring. The others wait, a limited number of each signer.
   * The offers are those of one message, whose later checks count with these.
   *
   * @param from the peer that sent the offers
   * @returns the ring after them
   */
  advance(ring: Ring, offers: readonly Span[], from: PeerName): Ring {
    const until = this.#deps.clock.now() + WAIT_MS;
    const valid: Span[] = [];
    this.#signatures.begin();
    for (const span of offers) {
      const isOpen = this.#isOpen(ring, span);
      // Only the receiver knows whether it still has what it was given.
      const isEarlier = !isOpen && span.value.owner === from && this.givenBefore(ring, span).length > 0;
      if (!isOpen && !isEarlier) continue;
      if (!this.#signatures.admit()) break;
      if (!this.#signatures.isSigned(ring.id, span.value, from)) continue;
      if (isOpen) valid.push(span);
      else this.#earlier.set(keyOf(span), span);
    }
    limitSize(this.#earlier, MAX_WAITING);
    const next = this.#applyAll(ring, [...valid, ...this.waiting]);
    for (const span of valid) if (this.#isOpen(next, span)) this.#wait({ span, from, until });
    return next;
  }

  #applyAll(ring: Ring, offers: Span[]): Ring {
    offers.sort(byRank);
    let next = ring;
    for (let before: Ring | undefined; before !== next; ) {
      before = next;
      for (const span of offers) next = this.#apply(next, span);
    }
    for (const [key, { span }] of this.#waiting) if (!this.#isOpen(next, span)) this.#waiting.delete(key);
    return next;
  }

  /** Whether an offer is new, or other peers hold this one for the owner by another decision of the same rank, which this one must end. */
  #isOpen(ring: Ring, span: Span): boolean {
    const { self } = this.#deps;
    if (isNew(ring, span)) return true;
    if (span.value.owner !== self || span.value.pending) return false;
    return ring.within(span).some(({ value }) => value.owner === self && isForked(value, span.value));
  }

  #wait(offer: Offer): void {
    // A repeated offer does not wait longer: it is counted in the end.
    if (this.#waiting.has(keyOf(offer.span))) return;
    const by = offer.span.value.deed?.by;
    const ofSigner = [...this.#waiting.values()].filter(({ span }) => span.value.deed?.by === by).length;
    if (ofSigner >= MAX_WAITING_OF_SIGNER) return;
    this.#waiting.set(keyOf(offer.span), offer);
    limitSize(this.#waiting, MAX_WAITING);
  }

  /** Returns the offers that wait for decisions in between, by the peer that sent them. Removes old ones. */
  gaps(ring: Ring): Map<PeerName, Span[]> {
    const now = this.#deps.clock.now();
    const gaps = new Map<PeerName, Span[]>();
    for (const [key, { span, from, until }] of this.#waiting) {
      if (until <= now) {
        this.#waiting.delete(key);
        const refused = ring.within(span).some(({ value }) => this.#judge(ring, value, span.value) === "later");
        this.#deps.rejections.note(refused ? "living peer" : "no title", from);
        continue;
      }
      gaps.set(from, [...(gaps.get(from) ?? []), ...ring.within(span)]);
    }
    return gaps;
  }

  /** Returns the transfers of removed peers that the receivers have shown since the last call, see {@link givenBefore}; the highest first. */
  takeEarlier(): Span[] {
    const spans = [...this.#earlier.values()].sort((a, b) => byRank(b, a));
    this.#earlier.clear();
    return spans;
  }

  /**
   * Returns the parts of a transfer that this peer owns by a takeover of its giver, which had no longer owned them then: the peer that
   * took over did not know the transfer. Of an excluded giver it counts while the takeover waits for agreement: nothing shows whether
   * it was signed later.
   */
  givenBefore(ring: Ring, { start, end, value }: Span): Span[] {
    const { self, peers } = this.#deps;
    const giver = value.deed?.by;
    if (giver === undefined || isClaim(value) || [self, giver].includes(value.owner)) return [];
    const isExcluded = peers.identity(giver) === undefined && peers.pinnedIdentity(giver) !== undefined;
    return ring.within({ start, end }).flatMap((known) => {
      if (known.value.owner !== self || (isExcluded && !known.value.pending)) return [];
      const titles = this.titles.within(known);
      const isEnded = (each: Span) => endedBy(each.value) === value.owner && compareOwnership(each.value, value) > 0;
      const claims = titles.filter(
        (each) => isClaim(each.value) && each.value.from === giver && each.value.epoch > value.epoch,
      );
      const ended = titles.filter(isEnded);
      return claims.flatMap((claim) =>
        subtract(claim, sorted(ended)).map((part): Span => ({ ...part, value: known.value })),
      );
    });
  }

  /**
   * Returns the transfers to this peer which show that a takeover was of addresses that the removed peer had given to it before: also of
   * what this peer has given away since.
   *
   * @param claim the takeover, or a decision that followed from it, which does not follow from the ring
   */
  proofsAgainst(ring: Ring, claim: Span): Span[] {
    const { self } = this.#deps;
    return ring.within(claim).flatMap((known) => {
      const isMine = known.value.owner === self || known.value.deed?.by === self;
      if (!isMine || known.value.epoch >= claim.value.epoch) return [];
      return this.titles
        .within(known)
        .filter(({ value }) => value.owner === self && value.deed?.by !== self && !isClaim(value));
    });
  }

  /** Whether this peer has an offer of a takeover that it does not accept at present. */
  refuses(ring: Ring, claim: Span): boolean {
    return ring.within(claim).some(({ value }) => this.#judge(ring, value, claim.value) === "later");
  }

  /** Records that this peer confirms transfers to their receivers. @param spans of the ring */
  settle(spans: readonly Span[]): void {
    for (const { value } of spans) if (value.deed !== undefined) this.#settled.add(value.deed);
  }

  /**
   * Returns the decisions of the giver which prove that it has given addresses twice, a limited number. A decision of an earlier rank is no
   * proof, because the addresses may have been returned to the giver; its receiver knows whether it has done so.
   *
   * @param known transfers to this peer @param others decisions in a merged message @param from the peer that sent it
   */
  contradictions(ring: Ring, known: readonly Span[], others: readonly Span[], from: PeerName): Span[] {
    const candidates = others.flatMap((other) => {
      const { deed, owner } = other.value;
      if (deed === undefined || isClaim(other.value)) return [];
      const rivals = known.filter(
        ({ start, end, value }) =>
          deed.by === value.deed?.by &&
          owner !== value.owner &&
          overlap({ start, end }, other) !== undefined &&
          (!isEarlier(other.value, value) || (from === owner && owner !== deed.by)),
      );
      return rivals.length === 0 ? [] : [{ other, rivals }];
    });
    candidates.sort((a, b) => byRank(b.other, a.other));
    return candidates
      .slice(0, MAX_PROOFS)
      .filter(({ other, rivals }) => this.#isOpenTo(other, rivals))
      .map(({ other }) => other)
      .filter((other) => this.#signatures.isGenuine(ring.id, other.value, from));
  }

  /**
   * Whether a peer knows this one as the owner by another decision than this one does, which is signed.
   *
   * @param known spans of this peer @param others decisions in a merged message @param from the peer that sent it
   */
  isDivided(ring: Ring, known: readonly Span[], others: readonly Span[], from: PeerName): boolean {
    const differs = (other: Span) =>
      known.some(
        (span) =>
          overlap(span, other) !== undefined &&
          span.value.owner === other.value.owner &&
          compareOwnership(span.value, other.value) !== 0,
      );
    return others
      .filter(differs)
      .slice(0, MAX_PROOFS)
      .some((other) => this.#signatures.isGenuine(ring.id, other.value, from));
  }

  /** Whether the receiver of a transfer has not decided between that and at least one other transfer. */
  #isOpenTo(other: Span, rivals: readonly Span[]): boolean {
    const ended = this.titles
      .within(other)
      .filter(({ value }) => endedBy(value) === other.value.owner && compareOwnership(value, other.value) > 0);
    return rivals.some(
      ({ value: known }) =>
        !isEarlier(other.value, known) || !ended.some(({ value }) => compareOwnership(value, known) < 0),
    );
  }

  /** Whether a peer owns an address, or has owned it, by a decision that is known here. */
  hasOwned(ring: Ring, peer: PeerName, address: bigint): boolean {
    if (this.#first?.id !== ring.id) this.#first = Ring.first(ring.range, ring.genesis);
    if (ring.at(address).value.owner === peer || this.#first.at(address).value.owner === peer) return true;
    const decisions = this.titles.within({ start: address, end: address + 1n });
    return decisions.some(({ value }) => value.owner === peer || value.deed?.by === peer || endedBy(value) === peer);
  }

  /** Returns the offers that do not follow from the ring. */
  get waiting(): Span[] {
    return [...this.#waiting.values()].map(({ span }) => span);
  }

  /**
   * Checks the identities that were taken from decisions of peers unknown until then.
   *
   * @returns the ring without decisions in the name of peers that turned out to have another identity; the same if there are none
   */
  recheck(ring: Ring): Ring {
    const impostors = this.#signatures.takeImpostors();
    for (const [peer, claimed] of impostors) {
      this.#deps.rejections.note("forged", peer);
      this.titles.removeSigned(peer, claimed);
    }
    return impostors.length > 0 ? this.#applyAll(Ring.first(ring.range, ring.genesis), this.titles.all) : ring;
  }

  #apply(ring: Ring, { start, end, value }: Span): Ring {
    const steps = ring
      .within({ start, end })
      .filter((known) => this.#judge(ring, known.value, value) === "follows")
      .map((known): Span => ({ start: known.start, end: known.end, value }));
    // A ring of very many spans would exceed the limits of messages: a member could make them of what it owns.
    if (steps.length === 0 || ring.spans.length + 2 * steps.length > MAX_RING_SPANS) return ring;
    for (const step of steps) if (!this.titles.add(step)) return ring;
    if (value.deed !== undefined && !this.#accepted.has(value.deed))
      this.#accepted.set(value.deed, this.#deps.clock.now());
    return ring.join(steps).ring;
  }

  #judge(ring: Ring, known: Ownership, next: Ownership): Verdict {
    if (compareOwnership(next, known) <= 0) return "unrelated";
    const higher = next.epoch > known.epoch || (next.epoch === known.epoch && next.version > known.version);
    if (isClaim(next)) {
      // Of two claims that both wait for agreement the order of the ring decides.
      const competes = isClaim(known) && known.from === next.from && known.epoch === next.epoch;
      if (competes) return "follows";
      if (!higher || next.from !== known.owner) return "unrelated";
      return this.#deps.living.mayTakeOver(next, ring) ? "follows" : "later";
    }
    if (higher && next.deed?.by === known.owner) return "follows";
    return !higher && this.#isRecentFork(known, next) ? "follows" : "unrelated";
  }

  /** Whether a peer has decided twice about one ownership a short time ago, so that all peers may still choose the same decision. */
  #isRecentFork(known: Ownership, next: Ownership): boolean {
    if (known.deed === undefined || endedBy(known) !== endedBy(next) || known.deed.by !== next.deed?.by) return false;
    const isBound = known.owner === this.#deps.self || this.#settled.has(known.deed);
    const accepted = this.#accepted.get(known.deed);
    if (!this.#contradicting.has(next.deed)) {
      this.#contradicting.add(next.deed);
      this.#deps.rejections.noteSigner("contradiction", next.deed.by);
    }
    return !isBound && accepted !== undefined && this.#deps.clock.now() - accepted < FORK_MS;
  }
}

/** Whether a decision has a lower rank than another one. */
const isEarlier = (a: Ownership, b: Ownership): boolean =>
  a.epoch < b.epoch || (a.epoch === b.epoch && a.version < b.version);

const isNew = (ring: Ring, span: Span): boolean =>
  ring.within(span).some(({ value }) => compareOwnership(span.value, value) > 0);

/** Whether two different decisions have one rank: peers that follow one of them never take the other. */
const isForked = (a: Ownership, b: Ownership): boolean =>
  a.epoch === b.epoch && a.version === b.version && compareOwnership(a, b) !== 0;

const keyOf = ({ start, end, value }: Span): string =>
  `${start}-${end} ${value.owner} ${value.epoch} ${value.version} ${value.pending}`;
