import type { PeerName } from "#mesh/peer.js";
import { limitSize } from "#src/limit-size.js";

/** Why something that a neighbour sent was not accepted. */
const REJECTION_REASONS = [
  /** The message does not have the shape. */
  "malformed",
  /** The origin has not signed these records. */
  "forged",
  /** An earlier state of the origin than the one that is known. Late messages of honest peers count, too. */
  "outdated",
  /** The incarnation is more than a day ahead of the network's time. */
  "far-future",
  /** No peer that is known has the origin's name. */
  "unknown-origin",
  /** The origin has signed two contents of one version before: its records are ignored. */
  "equivocation",
  /** The message, a record, or all records of the origin are too large. */
  "oversized",
  /** The neighbour has announced more than its part of the memory. */
  "neighbour-budget",
  /** The set has no memory left. */
  "total-budget",
] as const;

export type RejectionReason = (typeof REJECTION_REASONS)[number];

/** Whether honest neighbours cause a rejection, too: by delay, or before they know of a new peer. */
export const isHarmless = (reason: RejectionReason): boolean => reason === "outdated" || reason === "unknown-origin";

/** Maximum number of neighbours whose rejections are counted; the one that was counted least recently is dropped. */
const MAX_NEIGHBOURS = 1_024;

type Counts = Record<RejectionReason, number>;

const none = (): Counts => Object.fromEntries(REJECTION_REASONS.map((reason) => [reason, 0])) as Counts;

/** Counts what was rejected, by reason and by the neighbour that sent it. Several sets may share one. */
export class Rejections {
  readonly #counts = none();
  readonly #neighbours = new Map<PeerName, Counts>();

  add(reason: RejectionReason, neighbour: PeerName): void {
    this.#counts[reason]++;
    const counts = this.#neighbours.get(neighbour) ?? none();
    counts[reason]++;
    this.#neighbours.delete(neighbour);
    this.#neighbours.set(neighbour, counts);
    limitSize(this.#neighbours, MAX_NEIGHBOURS);
  }

  /** Number of each reason. */
  get counts(): Readonly<Counts> {
    return this.#counts;
  }

  /** Number of each reason by neighbour. */
  get byNeighbour(): ReadonlyMap<PeerName, Readonly<Counts>> {
    return this.#neighbours;
  }

  /** Number of all rejections that are not {@link isHarmless}. */
  get total(): number {
    return REJECTION_REASONS.reduce((sum, reason) => sum + (isHarmless(reason) ? 0 : this.#counts[reason]), 0);
  }
}
