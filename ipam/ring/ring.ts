import { createHash } from "node:crypto";
import { type Interval, overlap, sizeOf } from "#ipam/ring/interval.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import type { PeerName } from "#mesh/peer.js";
import { compareText, shortHash } from "#src/text.js";

/** Why a span belongs to its owner. The wire carries the index: add at the end. */
export const CAUSES = ["first division", "donation", "rmpeer", "reset", "kept", "tidied"] as const;
export type Cause = (typeof CAUSES)[number];

/**
 * Which peer may allocate an address. Of two ownerships the one higher in ({@link epoch}, {@link version}) wins; the other
 * fields are history, and decide between two of equal rank, which operators can cause.
 */
export interface Ownership {
  readonly owner: PeerName;
  /** Number of takeovers (`rmpeer`) so far. A peer that was away finds a higher epoch than its own, and applies it. */
  readonly epoch: number;
  /** Number of changes in this epoch: only the owner increments it. */
  readonly version: number;
  /** Taken over, and not yet agreed on by all reachable peers: no peer allocates from it. */
  readonly pending: boolean;
  /** Unix time in seconds. */
  readonly since: number;
  readonly cause: Cause;
  /** The previous owner. */
  readonly from: PeerName | undefined;
}

export interface Span extends Interval {
  readonly value: Ownership;
}

/** The origin of a ring. Two rings of different origin never merge: the higher one wins, the same at all peers. */
export interface Genesis {
  /** Sorted, without repetition: the range was first divided among them. */
  readonly peers: readonly PeerName[];
  /** Unix time in milliseconds; 0 where the operator named the peers (`--ipalloc-init seed=`). */
  readonly at: number;
}

/**
 * Positive when `a` wins against `b`: the ring that more peers agreed on; of two alike the older one, because more has been
 * allocated from it.
 */
export function compareGenesis(a: Genesis, b: Genesis): number {
  if (a.peers.length !== b.peers.length) return a.peers.length - b.peers.length;
  if (a.at !== b.at) return b.at - a.at;
  return compareText(b.peers.join(), a.peers.join());
}

/** A total order, so that the higher of two is the same at all peers. */
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

/** Joins adjacent spans of equal value. */
function coalesce(spans: Iterable<Span>): Span[] {
  const result: { start: bigint; end: bigint; value: Ownership }[] = [];
  for (const { start, end, value } of spans) {
    const last = result.at(-1);
    if (last !== undefined && last.end === start && same(last.value, value)) last.end = end;
    else result.push({ start, end, value });
  }
  return result;
}

/**
 * Which peer owns which part of the range: a function from addresses to {@link Ownership}, as spans that cover the range
 * exactly once. {@link join} takes the higher value at each address, so rings form a join-semilattice: merging is total,
 * commutative, associative and idempotent, and peers that receive the same updates, in any order and any number of times,
 * have equal rings (Shapiro et al., Conflict-free Replicated Data Types, 2011). Immutable.
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

  /** The first division: the range is halved between halves of the list, so that all parts are CIDR blocks. */
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

  /** A whole ring from another peer or the disk; undefined when the spans do not cover the range exactly once. */
  static whole(range: Subnet, genesis: Genesis, spans: readonly Span[]): Ring | undefined {
    let at = range.start;
    for (const { start, end } of spans) {
      if (start !== at) return undefined;
      at = end;
    }
    return at === range.end ? new Ring(range, genesis, coalesce(spans)) : undefined;
  }

  /**
   * Merges updates of other peers. @param updates sorted, not overlapping, within the range
   *
   * @returns the merged ring (this one when nothing was new), and the part of the updates that was new
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

  /** @param address within the range */
  at(address: bigint): Span {
    return this.spans[this.#index(address)];
  }

  /** The parts of spans that lie in an interval. */
  within(bounds: Interval): Span[] {
    const result: Span[] = [];
    for (let at = this.#index(bounds.start); at < this.spans.length && this.spans[at].start < bounds.end; at++) {
      const common = overlap(this.spans[at], bounds);
      if (common !== undefined) result.push({ ...common, value: this.spans[at].value });
    }
    return result;
  }

  ownedBy(peer: PeerName): Span[] {
    return this.spans.filter(({ value }) => value.owner === peer);
  }

  /** Addresses of each owner. */
  shares(): Map<PeerName, bigint> {
    const shares = new Map<PeerName, bigint>();
    for (const span of this.spans) shares.set(span.value.owner, (shares.get(span.value.owner) ?? 0n) + sizeOf(span));
    return shares;
  }

  /** Distinguishes rings of different origin; 22 characters. */
  get id(): string {
    this.#id ??= shortHash(createHash("sha256").update(JSON.stringify([this.range.text, this.genesis])));
    return this.#id;
  }

  /** Equal for equal rings; 22 characters. */
  get digest(): string {
    if (this.#digest === undefined) {
      const hash = createHash("sha256").update(this.id);
      for (const { start, value } of this.spans)
        hash.update(
          `${start} ${value.owner} ${value.epoch} ${value.version} ${value.pending} ${value.since} ${value.cause} ${value.from}\n`,
        );
      this.#digest = shortHash(hash);
    }
    return this.#digest;
  }

  /** Index of the span that holds an address; the first or the last for one outside. */
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
