import { createHash } from "node:crypto";
import { type Interval, overlap, sizeOf } from "#ipam/ring/interval.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import type { PeerName } from "#mesh/peer.js";
import { compareText, shortHash } from "#src/text.js";

/** The event by which an owner got a span. The wire carries the index: new causes must be added at the end. */
export const CAUSES = ["first division", "donation", "rmpeer", "reset", "kept", "tidied"] as const;
export type Cause = (typeof CAUSES)[number];

/**
 * The signature under an ownership: who has decided it, and for which addresses. A giver signs a transfer; the peer that takes over
 * signs its claim. A part of the interval keeps the deed of the whole.
 */
export interface Deed extends Interval {
  readonly by: PeerName;
  /** The identity of `by`, 64 hexadecimal digits: it verifies the deeds of peers that are gone. */
  readonly identity: string;
  readonly signature: Uint8Array;
}

/**
 * The ownership of a span: which peer may allocate from it. Of two ownerships the one with the higher epoch wins, then the one with
 * the higher version. The other fields are history; they decide between two of equal rank, which operators can cause.
 */
export interface Ownership {
  readonly owner: PeerName;
  /** Number of takeovers (`rmpeer`) so far. A peer that was removed finds a higher epoch than its own when it returns. */
  readonly epoch: number;
  /** Number of changes in this epoch: only the owner increments it. */
  readonly version: number;
  /** Whether a takeover waits for the agreement of all reachable peers: no peer allocates from the span. */
  readonly pending: boolean;
  /** Unix time of the change in seconds. */
  readonly since: number;
  readonly cause: Cause;
  /** The previous owner; undefined for the first division. */
  readonly from: PeerName | undefined;
  /** The signature under it; undefined for the first division, which follows from the ring's origin. */
  readonly deed?: Deed;
}

/** Consecutive addresses with one ownership. */
export interface Span extends Interval {
  readonly value: Ownership;
}

/** The origin of a ring. Rings of different origins never merge: the higher one wins at all peers, see {@link compareGenesis}. */
export interface Genesis {
  /** The peers among which the range was first divided: sorted, without repetition. */
  readonly peers: readonly PeerName[];
  /** Unix time of the first division in milliseconds; 0 if the operator named the peers (`--ipalloc-init seed=`). */
  readonly at: number;
}

/**
 * Compares two origins. The ring of more peers wins, then the older ring, because more addresses are allocated from it.
 *
 * @returns a positive number when `a` wins against `b`
 */
export function compareGenesis(a: Genesis, b: Genesis): number {
  if (a.peers.length !== b.peers.length) return a.peers.length - b.peers.length;
  if (a.at !== b.at) return b.at - a.at;
  return compareText(b.peers.join(), a.peers.join());
}

/** Compares two ownerships. The order is total, so that the higher one is the same at all peers. */
export function compareOwnership(a: Ownership, b: Ownership): number {
  return (
    a.epoch - b.epoch ||
    a.version - b.version ||
    Number(b.pending) - Number(a.pending) ||
    compareText(a.owner, b.owner) ||
    a.since - b.since ||
    CAUSES.indexOf(a.cause) - CAUSES.indexOf(b.cause) ||
    compareText(a.from ?? "", b.from ?? "")
  );
}

const same = (a: Ownership, b: Ownership): boolean => a === b || compareOwnership(a, b) === 0;

const sameDeed = (a: Deed | undefined, b: Deed | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && a.by === b.by && a.start === b.start && a.end === b.end);

/** Joins adjacent spans of equal value and deed. */
function coalesce(spans: Iterable<Span>): Span[] {
  const result: { start: bigint; end: bigint; value: Ownership }[] = [];
  for (const { start, end, value } of spans) {
    const last = result.at(-1);
    if (last !== undefined && last.end === start && same(last.value, value) && sameDeed(last.value.deed, value.deed))
      last.end = end;
    else result.push({ start, end, value });
  }
  return result;
}

/**
 * The owners of the range: a function from addresses to {@link Ownership}, as spans that cover the range exactly once. {@link join}
 * takes the higher value at each address, so that rings form a join-semilattice: merging is total, commutative, associative and
 * idempotent, and peers that receive the same updates, in any order and any number of times, have equal rings (Shapiro et al.,
 * Conflict-free Replicated Data Types, 2011). Immutable.
 */
export class Ring {
  readonly range: Subnet;
  readonly genesis: Genesis;
  readonly spans: readonly Span[];
  #id: string | undefined;
  #digest: string | undefined;

  private constructor(range: Subnet, genesis: Genesis, spans: readonly Span[]) {
    this.range = range;
    this.genesis = genesis;
    this.spans = spans;
  }

  /** Makes the ring of the first division: the range is halved recursively with the list of peers, so that all spans are CIDR blocks. */
  static first(range: Subnet, genesis: Genesis): Ring {
    const spans: Span[] = [];
    const value = (owner: PeerName): Ownership => ({
      owner,
      epoch: 0,
      version: 0,
      pending: false,
      since: Math.floor(genesis.at / 1_000),
      cause: "first division",
      from: undefined,
    });
    const divide = (part: Interval, peers: readonly PeerName[]): void => {
      if (peers.length === 1 || sizeOf(part) === 1n) {
        spans.push({ ...part, value: value(peers[0]) });
        return;
      }
      const [middle, half] = [part.start + sizeOf(part) / 2n, peers.length >> 1];
      divide({ start: part.start, end: middle }, peers.slice(0, half));
      divide({ start: middle, end: part.end }, peers.slice(half));
    };
    divide(range, genesis.peers);
    return new Ring(range, genesis, coalesce(spans));
  }

  /** Makes a ring from received or stored spans; undefined when they do not cover the range exactly once. */
  static whole(range: Subnet, genesis: Genesis, spans: readonly Span[]): Ring | undefined {
    let at = range.start;
    for (const { start, end } of spans) {
      if (start !== at) return undefined;
      at = end;
    }
    return at === range.end ? new Ring(range, genesis, coalesce(spans)) : undefined;
  }

  /**
   * Merges updates.
   *
   * @param updates sorted, not overlapping, within the range
   * @returns the merged ring (this one when nothing was new), and the new part of the updates
   */
  join(updates: readonly Span[]): { ring: Ring; news: Span[] } {
    const news: Span[] = [];
    const merged: Span[] = [];
    let at = 0;
    for (const span of this.spans) {
      let { start } = span;
      while (at < updates.length && updates[at].start < span.end) {
        const update = updates[at];
        const common = overlap({ start, end: span.end }, update);
        if (common !== undefined && compareOwnership(update.value, span.value) > 0) {
          if (common.start > start) merged.push({ start, end: common.start, value: span.value });
          merged.push({ ...common, value: update.value });
          news.push({ ...common, value: update.value });
          start = common.end;
        }
        if (update.end > span.end) break;
        at++;
      }
      if (start < span.end) merged.push({ start, end: span.end, value: span.value });
    }
    if (news.length === 0) return { ring: this, news };
    return { ring: new Ring(this.range, this.genesis, coalesce(merged)), news: coalesce(news) };
  }

  /** Returns the span of an address. @param address within the range */
  at(address: bigint): Span {
    return this.spans[this.#index(address)];
  }

  /** Returns the parts of spans within an interval. */
  within(bounds: Interval): Span[] {
    const result: Span[] = [];
    for (let at = this.#index(bounds.start); at < this.spans.length && this.spans[at].start < bounds.end; at++) {
      const common = overlap(this.spans[at], bounds);
      if (common !== undefined) result.push({ ...common, value: this.spans[at].value });
    }
    return result;
  }

  /** Returns the spans of a peer. */
  ownedBy(peer: PeerName): Span[] {
    return this.spans.filter(({ value }) => value.owner === peer);
  }

  /** Returns the number of addresses of each owner. */
  shares(): Map<PeerName, bigint> {
    const shares = new Map<PeerName, bigint>();
    for (const span of this.spans) shares.set(span.value.owner, (shares.get(span.value.owner) ?? 0n) + sizeOf(span));
    return shares;
  }

  /** A hash of range and origin, 22 characters. */
  get id(): string {
    this.#id ??= shortHash(createHash("sha256").update(JSON.stringify([this.range.text, this.genesis])));
    return this.#id;
  }

  /** A hash of the whole ring, 22 characters. */
  get digest(): string {
    if (this.#digest === undefined) {
      const hash = createHash("sha256").update(this.id);
      let last: Ownership | undefined;
      for (const { start, value } of this.spans) {
        // Peers may know one decision by the deeds of its parts.
        if (last !== undefined && same(last, value)) continue;
        last = value;
        hash.update(
          `${start} ${value.owner} ${value.epoch} ${value.version} ${value.pending} ${value.since} ${value.cause} ${value.from}\n`,
        );
      }
      this.#digest = shortHash(hash);
    }
    return this.#digest;
  }

  /** Returns the index of the span that contains an address; for an address outside the range, of the first or last span. */
  #index(address: bigint): number {
    let [low, high] = [0, this.spans.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.spans[middle].end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
