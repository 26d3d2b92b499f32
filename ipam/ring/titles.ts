import { endedBy } from "#ipam/ring/deed.js";
import { type Interval, overlap, subtract } from "#ipam/ring/interval.js";
import { compareOwnership, type Span } from "#ipam/ring/ring.js";
import type { PeerName } from "#mesh/peer.js";

/** Maximum number of deeds: far more than an honest network makes. */
const MAX_DEEDS = 65_536;
/** Maximum number of deeds that one peer has signed, of which a hostile one could make any number. */
const MAX_DEEDS_OF_PEER = 16_384;

/**
 * The deeds by which ownerships ended: of each peer the latest one at each address. They suffice to get from every earlier owner of
 * an address to the present one, because a deed leads from each state in which its signer was the owner; so the number of deeds of an
 * address is bounded by the number of its owners, and not by that of its transfers.
 */
export class Titles {
  readonly #ended = new Map<PeerName, Span[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** All deeds, which overlap. */
  get all(): Span[] {
    return [...this.#ended.values()].flat();
  }

  /** Adds a deed, unless a later one of the same peer is known at these addresses, or there are too many. */
  add(span: Span): void {
    const peer = endedBy(span.value);
    if (peer === undefined) return;
    const known = this.#ended.get(peer) ?? [];
    const later = known.filter(
      (each) => overlap(each, span) !== undefined && compareOwnership(each.value, span.value) >= 0,
    );
    const added = subtract(span, later).map((part): Span => ({ ...part, value: span.value }));
    if (added.length === 0) return;
    const kept = known.flatMap((each) =>
      overlap(each, span) === undefined
        ? [each]
        : subtract(each, added).map((part): Span => ({ ...part, value: each.value })),
    );
    const next = [...kept, ...added].sort((a, b) => (a.start < b.start ? -1 : 1));
    const growth = next.length - known.length;
    if (growth > 0 && (next.length > MAX_DEEDS_OF_PEER || this.#size + growth > MAX_DEEDS)) return;
    this.#ended.set(peer, next);
    this.#size += growth;
  }

  /** Returns the deeds about addresses of an interval, the earlier ones first. */
  within(bounds: Interval): Span[] {
    const found: Span[] = [];
    for (const spans of this.#ended.values()) {
      for (const span of spans) {
        const common = overlap(span, bounds);
        if (common !== undefined) found.push({ ...common, value: span.value });
      }
    }
    return found.sort(byRank);
  }
}

/** Orders spans by the rank of their ownership. */
export function byRank({ value: a }: Span, { value: b }: Span): number {
  return a.epoch - b.epoch || a.version - b.version;
}
