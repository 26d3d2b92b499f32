import type { PeerName } from "#mesh/peer.js";
import { packName } from "#mesh/replica/record-format.js";
import type { Signer, Verify } from "#mesh/signing.js";

/** Bytes of the hash of a state: SHA-256. */
export const HASH_BYTES = 32;

/** What an origin says of all its records in a set, without the records. */
export interface HeadFields {
  readonly origin: PeerName;
  /** Grows with each start of the origin: its earlier incarnations are void. */
  readonly incarnation: number;
  /** Number of the last change. */
  readonly version: number;
  /** Version up to which removals are forgotten: a record that is missing with a version up to it was removed. */
  readonly horizon: number;
  /** Hash of all records, of a state hash: {@link HASH_BYTES} bytes. */
  readonly hash: Uint8Array;
}

/** Fields with the signature of their origin, by which any peer can pass on the records. */
export interface Head extends HeadFields {
  readonly signature: Uint8Array;
}

/** Signs a head. @param set name of the set */
export function signHead(signer: Signer, set: string, fields: HeadFields): Head {
  return { ...fields, signature: signer.sign("record-set", signedBytes(set, fields)) };
}

/** Whether an identity has signed a head. @param set name of the set */
export function isHeadBy(verify: Verify, identity: string, set: string, head: Head): boolean {
  return verify(identity, "record-set", signedBytes(set, head), head.signature);
}

/** Compares two heads of an origin, for sort(): the later one supersedes the earlier one. */
export function compareHeads(
  a: Pick<HeadFields, "incarnation" | "version">,
  b: Pick<HeadFields, "incarnation" | "version">,
): number {
  return a.incarnation - b.incarnation || a.version - b.version;
}

/** Each part has a fixed length, except the name of the set, which ends with a zero byte. */
function signedBytes(set: string, { origin, incarnation, version, horizon, hash }: HeadFields): Uint8Array {
  const counters = Buffer.alloc(24);
  for (const [i, count] of [incarnation, version, horizon].entries()) counters.writeBigUInt64BE(BigInt(count), 8 * i);
  return Buffer.concat([Buffer.from(`${set}\0`), packName(origin), counters, hash]);
}
