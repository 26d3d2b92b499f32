import { createHash } from "node:crypto";
import type { PeerName } from "#mesh/peer.js";
import type { Equivocations } from "#mesh/replica/equivocations.js";
import type { RecordSet } from "#mesh/replica/record-set.js";
import {
  BUCKET_BYTES,
  BUCKETS,
  type ComparisonMessage,
  DIGEST_BYTES,
  encodeVersion,
  MARK_BYTES,
  MAX_NAME,
  MIN_NAME,
  type StateEntry,
  SUMMARY_ENTRIES,
} from "#mesh/replica/replica-message.js";
import { compareText } from "#src/text.js";

/** Version of a proof in a summary: it is later than all states of its incarnation. */
export const PROOF_VERSION = 2 ** 48 - 1;
const PROOF_MARK = new Uint8Array(MARK_BYTES);

/** Returns the group of an origin. */
const bucketOf = (origin: PeerName): number => Number.parseInt(origin.slice(-2), 16) % BUCKETS;

/** What one end of a comparison knows: the entries of the origins that count, and hashes of them. */
export class Summary {
  /** In the order of names. */
  readonly entries: readonly StateEntry[];

  #digest: Uint8Array | undefined;

  /** @param counted the origins that are compared: peers keep unreachable ones for different times */
  constructor(set: RecordSet<unknown>, equivocations: Equivocations, counted: ReadonlySet<PeerName>, self: PeerName) {
    const entries: StateEntry[] = [];
    const counts = (origin: PeerName) => origin === self || counted.has(origin);
    for (const origin of set.origins()) {
      if (!counts(origin)) continue;
      const { incarnation, version, signature } = set.get(origin)!.head;
      entries.push({ origin, incarnation, version, mark: signature.subarray(0, MARK_BYTES) });
    }
    for (const { origin, incarnation } of equivocations.list)
      if (set.get(origin) === undefined && counts(origin))
        entries.push({ origin, incarnation, version: PROOF_VERSION, mark: PROOF_MARK });
    this.entries = entries.sort((a, b) => compareText(a.origin, b.origin));
  }

  /** Hash of all entries. */
  get digest(): Uint8Array {
    this.#digest ??= hashOf(this.entries).subarray(0, DIGEST_BYTES);
    return this.#digest;
  }

  /** Hashes of the entries of each bucket, one after the other. */
  get buckets(): Uint8Array {
    const groups: StateEntry[][] = Array.from({ length: BUCKETS }, () => []);
    for (const entry of this.entries) groups[bucketOf(entry.origin)].push(entry);
    return Buffer.concat(groups.map((group) => hashOf(group).subarray(0, BUCKET_BYTES)));
  }

  /** Returns a bit mask of the buckets that differ. */
  differing(theirs: Uint8Array): number {
    const ours = this.buckets;
    let mask = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const at = bucket * BUCKET_BYTES;
      if (Buffer.compare(ours.subarray(at, at + BUCKET_BYTES), theirs.subarray(at, at + BUCKET_BYTES)) !== 0)
        mask += 2 ** bucket;
    }
    return mask;
  }

  /** Returns the entries in a range of names that are in the buckets of a mask. */
  select(mask: number, first: PeerName, last: PeerName): StateEntry[] {
    return this.entries.filter(
      ({ origin }) => hasBucket(mask, origin) && compareText(first, origin) <= 0 && compareText(origin, last) <= 0,
    );
  }

  /** Returns the messages with the entries of some buckets; at least one, because missing entries say something, too. */
  messages(mask: number): ComparisonMessage[] {
    const entries = this.select(mask, MIN_NAME, MAX_NAME);
    const messages: ComparisonMessage[] = [];
    for (let at = 0, first = MIN_NAME; at === 0 || at < entries.length; at += SUMMARY_ENTRIES) {
      const next = entries[at + SUMMARY_ENTRIES];
      // Up to the next entry: both ends know that nothing is in between.
      const last = next?.origin ?? MAX_NAME;
      messages.push({ kind: "summary", mask, first, last, entries: entries.slice(at, at + SUMMARY_ENTRIES + 1) });
      first = last;
    }
    return messages;
  }
}

/** Whether an origin is in the buckets of a mask. */
const hasBucket = (mask: number, origin: PeerName): boolean => Math.floor(mask / 2 ** bucketOf(origin)) % 2 === 1;

function hashOf(entries: readonly StateEntry[]): Uint8Array {
  const rows = entries.flatMap((entry) => [encodeVersion(entry), entry.mark]);
  return createHash("sha256").update(Buffer.concat(rows)).digest();
}
