import type { PeerName } from "#mesh/peer.js";
import { limitSize } from "#src/limit-size.js";

/** Maximum number of neighbours whose rejections are counted; the one that was counted least recently is dropped. */
const MAX_NEIGHBOURS = 1_024;

/**
 * Counts what peers have sent and is not used, by reason and by the neighbour that sent it. Each kind of content has one of these; together
 * they are the metric `weave_messages_quarantined_total`. A rejection never ends a connection.
 */
export class Rejections<Reason extends string> {
  readonly #reasons: readonly Reason[];
  readonly #harmless: ReadonlySet<string>;
  readonly #counts: Record<Reason, number>;
  readonly #neighbours = new Map<PeerName, Record<Reason, number>>();

  /** @param reasons all that may occur @param harmless those that honest peers cause, too: they are counted, and reported apart */
  constructor(reasons: readonly Reason[], harmless: readonly Reason[] = []) {
    this.#reasons = reasons;
    this.#harmless = new Set(harmless);
    this.#counts = this.#none();
  }

  /** @param neighbour the neighbour that sent it, not the peer in whose name it is: only the former is certain */
  add(reason: Reason, neighbour: PeerName, times = 1): void {
    this.#counts[reason] += times;
    const counts = this.#neighbours.get(neighbour) ?? this.#none();
    counts[reason] += times;
    this.#neighbours.delete(neighbour);
    this.#neighbours.set(neighbour, counts);
    limitSize(this.#neighbours, MAX_NEIGHBOURS);
  }

  /** Number of each reason. */
  get counts(): Readonly<Record<Reason, number>> {
    return this.#counts;
  }

  /** Number of each reason that no honest peer causes. */
  get harmful(): readonly { readonly reason: Reason; readonly count: number }[] {
    return this.#harmfulOf(this.#counts);
  }

  /** Number of each reason by neighbour. */
  get byNeighbour(): ReadonlyMap<PeerName, Readonly<Record<Reason, number>>> {
    return this.#neighbours;
  }

  /** The neighbours that sent what no honest peer sends, with the number of each reason that occurred. */
  culprits(): { neighbour: PeerName; counts: readonly { readonly reason: Reason; readonly count: number }[] }[] {
    return [...this.#neighbours]
      .map(([neighbour, all]) => ({ neighbour, counts: this.#harmfulOf(all).filter(({ count }) => count > 0) }))
      .filter(({ counts }) => counts.length > 0);
  }

  /** Number of all rejections that no honest peer causes. */
  get total(): number {
    return this.harmful.reduce((sum, { count }) => sum + count, 0);
  }

  #harmfulOf(counts: Readonly<Record<Reason, number>>): { reason: Reason; count: number }[] {
    return this.#reasons
      .filter((reason) => !this.#harmless.has(reason))
      .map((reason) => ({ reason, count: counts[reason] }));
  }

  #none(): Record<Reason, number> {
    return Object.fromEntries(this.#reasons.map((reason) => [reason, 0])) as Record<Reason, number>;
  }
}
