import { Rejections } from "#mesh/rejections.js";

/** Why a message or record of a replicated set was not accepted. */
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

/** Counts rejected records. Several sets may share one. Honest neighbours send late records, and records of peers that are new here. */
export type RecordRejections = Rejections<RejectionReason>;

export const recordRejections = (): RecordRejections =>
  new Rejections(REJECTION_REASONS, ["outdated", "unknown-origin"]);
