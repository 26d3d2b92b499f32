import { endedBy } from "#ipam/ring/deed.js";
import { type Interval, overlap, sorted, subtract } from "#ipam/ring/interval.js";
import { compareOwnership, type Span } from "#ipam/ring/ring.js";
import type { PeerName } from "#mesh/peer.js";

/** Maximum number of deeds: far more than an honest network makes. */
const MAX_DEEDS = 65_536;
/** Maximum number of deeds that one peer has signed, of which a hostile one could make any number. */
const MAX_DEEDS_OF_PEER = 8_192;

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

  /** Adds a deed, unless a later one of the same peer is known at these addresses. @returns false if there is no room for it */
  add(span: Span): boolean {
    const peer = endedBy(span.value);
    if (peer === undefined) return true;
    const known = this.#ended.get(peer) ?? [];
    const first = firstEndingAfter(known, span.start);
    let last = first;
    while (last < known.length && known[last].start < span.end) last++;
    const near = known.slice(first, last);
    const later = near.filter((each) => compareOwnership(each.value, span.value) >= 0);
    const added = subtract(span, later).map((part): Span => ({ ...part, value: span.value }));
    if (added.length === 0) return true;
    const kept = near.flatMap((each) => subtract(each, added).map((part): Span => ({ ...part, value: each.value })));
    const next = sorted([...kept, ...added]);
    const growth = next.length - near.length;
    if (growth > 0 && (known.length + growth > MAX_DEEDS_OF_PEER || this.#size + growth > MAX_DEEDS)) return false;
    known.splice(first, near.length, ...next);
    this.#ended.set(peer, known);
    this.#size += growth;
    return true;
  }

  /** Removes the deeds in the name of a peer that an identity has signed. */
  removeSigned(by: PeerName, identity: string): void {
    for (const [peer, spans] of this.#ended) {
      const kept = spans.filter(({ value: { deed } }) => deed?.by !== by || deed.identity !== identity);
      this.#size += kept.length - spans.length;
      this.#ended.set(peer, kept);
    }
  }

  /** Returns the deeds about addresses of an interval, the earlier ones first. */
  within(bounds: Interval): Span[] {
    const found: Span[] = [];
    for (const spans of this.#ended.values()) {
      for (let at = firstEndingAfter(spans, bounds.start); at < spans.length; at++) {
        const common = overlap(spans[at], bounds);
        if (common === undefined) break;
        found.push({ ...common, value: spans[at].value });
      }
    }
    return found.sort(byRank);
  }
}

/** Orders spans by the rank of their ownership. */
export function byRank({ value: a }: Span, { value: b }: Span): number {
  return a.epoch - b.epoch || a.version - b.version;
}

/** Returns the index of the first of some sorted intervals that ends after an address. */
function firstEndingAfter(spans: readonly Span[], address: bigint): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle].end > address) high = middle;
    else low = middle + 1;
  }
  return low;
}
