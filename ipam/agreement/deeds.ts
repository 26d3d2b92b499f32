import type { LivingPeers } from "#ipam/agreement/living-peers.js";
import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import { endedBy, isClaim, isValid, sign } from "#ipam/ring/deed.js";
import { type Interval, overlap } from "#ipam/ring/interval.js";
import { compareOwnership, type Deed, type Ownership, type Ring, type Span } from "#ipam/ring/ring.js";
import { byRank, Titles } from "#ipam/ring/titles.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";

/** Time for which an offer waits for the steps that lead to it, or for other peers' agreement. */
const WAIT_MS = 60_000;
/** Maximum number of waiting offers. */
const MAX_WAITING = 1_024;
/** Time within which two decisions of one peer about one ownership are ordered by their value; a later second one is rejected. */
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
  /** Values whose signature was checked, by deed. */
  readonly #valid = new WeakMap<Deed, Ownership>();
  /** Monotonic time at which a deed was accepted. */
  readonly #accepted = new WeakMap<Deed, number>();
  /** Second decisions about one ownership, each of which is counted once. */
  readonly #contradicting = new WeakSet<Deed>();

  constructor(deps: DeedsDeps) {
    this.#deps = deps;
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
   * Takes from the offers, and from those that wait, all that follows from a ring.
   *
   * @param from the peer that sent the offers
   * @returns the ring after them
   */
  advance(ring: Ring, offers: readonly Span[], from: PeerName): Ring {
    const until = this.#deps.clock.now() + WAIT_MS;
    for (const span of offers) {
      if (!isNew(ring, span) || !this.#isSigned(ring.id, span.value, from)) continue;
      if (this.#waiting.size >= MAX_WAITING) this.#waiting.delete(this.#waiting.keys().next().value as string);
      this.#waiting.set(keyOf(span), { span, from, until });
    }
    return this.retry(ring);
  }

  /** Takes all that follows from a ring from the offers that wait. */
  retry(ring: Ring): Ring {
    const offers = [...this.#waiting.values()].map(({ span }) => span).sort(byRank);
    let next = ring;
    for (let before: Ring | undefined; before !== next; ) {
      before = next;
      for (const span of offers) next = this.#apply(next, span);
    }
    for (const [key, { span }] of this.#waiting) if (!isNew(next, span)) this.#waiting.delete(key);
    return next;
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

  /** Whether this peer has an offer of a takeover that it does not accept at present. */
  refuses(ring: Ring, claim: Span): boolean {
    return ring.within(claim).some(({ value }) => this.#judge(ring, value, claim.value) === "later");
  }

  /** Returns the offers that do not follow from the ring. */
  get waiting(): Span[] {
    return [...this.#waiting.values()].map(({ span }) => span);
  }

  #apply(ring: Ring, { start, end, value }: Span): Ring {
    const steps = ring
      .within({ start, end })
      .filter((known) => this.#judge(ring, known.value, value) === "follows")
      .map((known): Span => ({ start: known.start, end: known.end, value }));
    if (steps.length === 0) return ring;
    for (const step of steps) this.titles.add(step);
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
    const accepted = this.#accepted.get(known.deed);
    if (!this.#contradicting.has(next.deed)) {
      this.#contradicting.add(next.deed);
      this.#deps.rejections.note("contradiction", next.deed.by);
    }
    return accepted !== undefined && this.#deps.clock.now() - accepted < FORK_MS;
  }

  #isSigned(ring: string, value: Ownership, from: PeerName): boolean {
    const { self, signer, peers, rejections } = this.#deps;
    const { deed } = value;
    if (deed === undefined) {
      rejections.note("unsigned", from);
      return false;
    }
    const checked = this.#valid.get(deed);
    if (checked !== undefined && compareOwnership(checked, value) === 0) return true;
    // A peer of the same name with another identity is another peer. The deed's own word counts for peers that are unknown here.
    // An excluded peer's deeds count: nothing shows when it signed one, and without its earlier ones a peer that joins, or that was
    // away, would have another ring. It can give away only what it still owns, which 'weave rmpeer' ends.
    const identity = deed.by === self ? signer.identity : (peers.pinnedIdentity(deed.by) ?? deed.identity);
    if (identity !== deed.identity || !isValid(value, ring, identity)) {
      rejections.note("forged", from);
      return false;
    }
    this.#valid.set(deed, value);
    return true;
  }
}

const isNew = (ring: Ring, span: Span): boolean =>
  ring.within(span).some(({ value }) => compareOwnership(span.value, value) > 0);

const keyOf = ({ start, end, value }: Span): string =>
  `${start}-${end} ${value.owner} ${value.epoch} ${value.version} ${value.pending}`;

/** Returns an interval of each of some spans, joined where they touch. */
export function intervalsOf(spans: readonly Interval[]): Interval[] {
  const result: { start: bigint; end: bigint }[] = [];
  for (const { start, end } of [...spans].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const last = result.at(-1);
    if (last !== undefined && last.end >= start) last.end = end > last.end ? end : last.end;
    else result.push({ start, end });
  }
  return result.filter((each) => overlap(each, each) !== undefined);
}
