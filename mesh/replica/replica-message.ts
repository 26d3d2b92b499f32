import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import { MAX_COUNT } from "#mesh/counter.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Proof } from "#mesh/replica/equivocations.js";
import { HASH_BYTES, type Head } from "#mesh/replica/head.js";
import { joinRecords, splitRecords } from "#mesh/replica/origin-records.js";
import { packedNameShape, packName, unpackName } from "#mesh/replica/record-format.js";
import { SIGNATURE_BYTES } from "#mesh/signing.js";
import { decode, encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

/** Maximum size of a message in bytes: a slow line carries other messages in between. */
export const MAX_SET_MESSAGE_BYTES = 65_536;
/** Bytes of a digest and of a bucket's digest: they find accidents, and no security depends on them. */
export const DIGEST_BYTES = 16;
export const BUCKET_BYTES = 4;
/** Number of groups of origins, by the last bits of their names. */
export const BUCKETS = 32;
/** Bytes of a token by which a peer beyond a relay proves that it gets what is sent to it. */
export const TOKEN_BYTES = 8;
/** Bytes of the start of a signature in a summary. */
export const MARK_BYTES = 4;
/** Upper bound of the bytes of a state in a message beside its records. */
export const STATE_OVERHEAD_BYTES = 160;

/** A version of an origin's records. */
export interface OriginVersion {
  readonly origin: PeerName;
  readonly incarnation: number;
  readonly version: number;
}

/** An origin's state in short. */
export interface StateEntry extends OriginVersion {
  /** The start of the signature, {@link MARK_BYTES} bytes: it differs when two contents have one version. */
  readonly mark: Uint8Array;
}

/** The records of an origin that changed after a version, or a part of them. */
export interface StateMessage extends OriginVersion {
  readonly horizon: number;
  readonly signature: Uint8Array;
  /** All records with versions above it are in the message; 0: all records. */
  readonly since: number;
  /** The encoded records, in the order of their versions. */
  readonly records: readonly string[];
  /** Absent when the message has all of the records. */
  readonly part?: {
    /** From 0. */
    readonly number: number;
    readonly isLast: boolean;
    /** The hash that is signed: the head is verified before the last part is there. Otherwise it is computed. */
    readonly hash: Uint8Array;
  };
}

/** A message of a comparison of two replicas. */
export type ComparisonMessage =
  /** Hash of all states, for new neighbours and for repair. */
  | { readonly kind: "digest"; readonly digest: Uint8Array }
  /** Hashes of the buckets: the answer to a different digest. */
  | { readonly kind: "buckets"; readonly digests: Uint8Array }
  /** All states of the buckets in a bit mask, with names from `first` up to `last`: the answer to different hashes. */
  | {
      readonly kind: "summary";
      readonly mask: number;
      readonly first: PeerName;
      readonly last: PeerName;
      readonly entries: readonly StateEntry[];
    }
  /** A request for what has changed after the versions that the sender has; incarnation and version 0: for all. */
  | { readonly kind: "want"; readonly origins: readonly OriginVersion[] };

/** A message of a comparison with a peer beyond a relay, which does not have the set. */
export interface RelayedMessage {
  readonly kind: "relayed";
  /** {@link TOKEN_BYTES} bytes, which the receiver returns. */
  readonly token: Uint8Array;
  /** The token that the receiver has sent before; no bytes without one. */
  readonly echo: Uint8Array;
  readonly message: ComparisonMessage;
}

/** A message between replicas of one set. */
export type ReplicaMessage =
  | ComparisonMessage
  | RelayedMessage
  /** Versions that the sender has: an offer of states that are too long to be gossiped. */
  | { readonly kind: "have"; readonly origins: readonly OriginVersion[] }
  | { readonly kind: "states"; readonly states: readonly StateMessage[] }
  /** Two contents of one version. */
  | { readonly kind: "proof"; readonly proof: Proof };

/** Before and after all names. */
export const MIN_NAME = "00:00:00:00:00:00" as PeerName;
export const MAX_NAME = "ff:ff:ff:ff:ff:ff" as PeerName;

/** Counters of a set are below 2^48: six bytes. */
export const counterShape = z.number().check(z.int(), z.gte(0), z.lt(MAX_COUNT));

const someBytes = z.instanceof(Uint8Array) as ZodMiniType<Uint8Array>;
const bytes = (length: number) =>
  z.instanceof(Uint8Array).check(z.refine((value) => value.length === length)) as ZodMiniType<Uint8Array>;
const rows = (length: number) =>
  z
    .instanceof(Uint8Array)
    .check(
      z.refine((value) => value.length % length === 0 && value.length <= MAX_PEERS * length),
    ) as ZodMiniType<Uint8Array>;

const NAME_BYTES = 6;
const COUNTER_BYTES = 6;
/** Name, incarnation, signature. */
const HEAD_BYTES = NAME_BYTES + COUNTER_BYTES + SIGNATURE_BYTES;
/** Name, incarnation, version. */
const VERSION_ROW = NAME_BYTES + 2 * COUNTER_BYTES;
const SUMMARY_ROW = VERSION_ROW + MARK_BYTES;
/** Number of entries in a summary, and of origins in a `want`, that fit into a message, also a `relayed` one. */
export const SUMMARY_ENTRIES = Math.floor((MAX_SET_MESSAGE_BYTES - 96) / SUMMARY_ROW);
export const WANT_ENTRIES = Math.floor((MAX_SET_MESSAGE_BYTES - 64) / VERSION_ROW);

const KINDS = ["digest", "buckets", "summary", "want", "have", "states", "proof", "relayed"] as const;
const kind = (name: (typeof KINDS)[number]) => z.literal(KINDS.indexOf(name));
const signed = [counterShape, bytes(HASH_BYTES), bytes(SIGNATURE_BYTES)] as const;
const part = z.tuple([counterShape, z.boolean(), bytes(HASH_BYTES)]);
/** Head, version, horizon, versions since, records, and for one of several parts: number, whether it is the last, hash. */
const state = z.union([
  z.tuple([bytes(HEAD_BYTES), counterShape, counterShape, counterShape, someBytes]),
  z.tuple([bytes(HEAD_BYTES), counterShape, counterShape, counterShape, someBytes, part]),
]);
/** Of each message: its kind, and its fields in order. */
const comparison = [
  z.tuple([kind("digest"), bytes(DIGEST_BYTES)]),
  z.tuple([kind("buckets"), bytes(BUCKETS * BUCKET_BYTES)]),
  z.tuple([kind("summary"), z.number().check(z.int(), z.gte(0), z.lt(2 ** BUCKETS)), bytes(12), rows(SUMMARY_ROW)]),
  z.tuple([kind("want"), rows(VERSION_ROW)]),
] as const;
const comparisonShape = z.union(comparison);
const shape = z.union([
  ...comparison,
  z.tuple([kind("have"), rows(VERSION_ROW)]),
  z.tuple([kind("states"), z.array(state).check(z.maxLength(MAX_PEERS))]),
  z.tuple([kind("proof"), packedNameShape, counterShape, counterShape, ...signed, ...signed]),
  z.tuple([kind("relayed"), bytes(TOKEN_BYTES), z.union([bytes(TOKEN_BYTES), bytes(0)]), someBytes]),
]);

/** Encodes a message. */
export function encodeReplicaMessage(message: ReplicaMessage): Uint8Array {
  const kind = KINDS.indexOf(message.kind);
  switch (message.kind) {
    case "digest":
      return encode([kind, message.digest]);
    case "buckets":
      return encode([kind, message.digests]);
    case "summary": {
      const range = Buffer.concat([packName(message.first), packName(message.last)]);
      return encode([kind, message.mask, range, summaryRows(message.entries)]);
    }
    case "want":
    case "have":
      return encode([kind, Buffer.concat(message.origins.map(encodeVersion))]);
    case "states":
      return encode([kind, message.states.map(packState)]);
    case "proof": {
      const { first, second } = message.proof;
      const both = [first, second].flatMap(({ horizon, hash, signature }) => [horizon, hash, signature]);
      return encode([kind, packName(first.origin), first.incarnation, first.version, ...both]);
    }
    case "relayed":
      return encode([kind, message.token, message.echo, encodeReplicaMessage(message.message)]);
  }
}

/** Decodes and validates a message. @param set name of the set @throws WEAVE_MESSAGE_MALFORMED */
export function decodeReplicaMessage(set: string, message: Uint8Array): ReplicaMessage {
  const what = `a gossip message of ${set}`;
  const [code, ...fields] = decode(shape, message, what) as readonly unknown[];
  const kind = KINDS[code as number];
  switch (kind) {
    case "have":
      return { kind, origins: versions(fields[0] as Uint8Array) };
    case "states":
      return { kind, states: (fields[0] as PackedState[]).map((each) => unpackState(each, what)) };
    case "proof":
      return { kind, proof: unpackProof(fields) };
    case "relayed": {
      const [token, echo, inner] = fields as [Uint8Array, Uint8Array, Uint8Array];
      const [innerCode, ...innerFields] = decode(comparisonShape, inner, what) as readonly unknown[];
      return {
        kind,
        token: copy(token),
        echo: copy(echo),
        message: unpackComparison(innerCode as number, innerFields),
      };
    }
    default:
      return unpackComparison(code as number, fields);
  }
}

/** @param fields of the shape of the kind */
function unpackComparison(code: number, fields: readonly unknown[]): ComparisonMessage {
  const kind = KINDS[code] as ComparisonMessage["kind"];
  switch (kind) {
    case "digest":
      return { kind, digest: fields[0] as Uint8Array };
    case "buckets":
      return { kind, digests: fields[0] as Uint8Array };
    case "summary": {
      const [mask, range, entries] = fields as [number, Uint8Array, Uint8Array];
      return {
        kind,
        mask,
        first: unpackName(range),
        last: unpackName(range, NAME_BYTES),
        entries: parseSummary(entries),
      };
    }
    case "want":
      return { kind, origins: versions(fields[0] as Uint8Array) };
  }
}

const versions = (packed: Uint8Array): OriginVersion[] => rowsOf(packed, VERSION_ROW).map((row) => readVersion(row));

/** Returns the bytes of an encoded record in a message. */
export const recordBytes = (raw: string): number => 2 + raw.length;

/** Encodes a version as {@link VERSION_ROW} bytes. */
export function encodeVersion(version: OriginVersion): Uint8Array {
  const out = Buffer.alloc(VERSION_ROW);
  writeVersion(out, 0, version);
  return out;
}

/** The inverse of {@link encodeVersion}; undefined for anything else. */
export function decodeVersion(bytes: Uint8Array): OriginVersion | undefined {
  if (bytes.length !== VERSION_ROW) return undefined;
  return readVersion(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
}

type PackedState = [
  head: Uint8Array,
  version: number,
  horizon: number,
  versions: number,
  records: Uint8Array,
  part?: [number: number, isLast: boolean, hash: Uint8Array],
];

function packState({
  origin,
  incarnation,
  version,
  horizon,
  signature,
  since,
  records,
  part,
}: StateMessage): PackedState {
  const head = Buffer.alloc(HEAD_BYTES);
  head.set(packName(origin));
  head.writeUIntBE(incarnation, NAME_BYTES, COUNTER_BYTES);
  head.set(signature, NAME_BYTES + COUNTER_BYTES);
  const packed: PackedState = [head, version, horizon, version - since, joinRecords(records)];
  if (part !== undefined) packed.push([part.number, part.isLast, part.hash]);
  return packed;
}

function unpackState([head, version, horizon, versions, joined, part]: PackedState, what: string): StateMessage {
  const records = splitRecords(joined);
  if (records === undefined || versions > version || horizon > version)
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `${what} is malformed: its records or counters are not valid`);
  return {
    origin: unpackName(head),
    incarnation: Buffer.from(head.buffer, head.byteOffset).readUIntBE(NAME_BYTES, COUNTER_BYTES),
    version,
    horizon,
    signature: copy(head.subarray(NAME_BYTES + COUNTER_BYTES)),
    since: version - versions,
    records,
    ...(part === undefined ? {} : { part: { number: part[0], isLast: part[1], hash: copy(part[2]) } }),
  };
}

function unpackProof(fields: readonly unknown[]): Proof {
  const [name, incarnation, version, ...both] = fields as [Uint8Array, number, number, ...unknown[]];
  const of = (at: number): Head => ({
    origin: unpackName(name),
    incarnation,
    version,
    horizon: both[at] as number,
    hash: copy(both[at + 1] as Uint8Array),
    signature: copy(both[at + 2] as Uint8Array),
  });
  return { first: of(0), second: of(3) };
}

/** A decoded byte array is a part of the message: what is kept must not keep the whole message. */
const copy = (part: Uint8Array): Uint8Array => new Uint8Array(part);

function summaryRows(entries: readonly StateEntry[]): Uint8Array {
  const out = Buffer.alloc(entries.length * SUMMARY_ROW);
  for (const [i, entry] of entries.entries()) {
    writeVersion(out, i * SUMMARY_ROW, entry);
    out.set(entry.mark, i * SUMMARY_ROW + VERSION_ROW);
  }
  return out;
}

const parseSummary = (packed: Uint8Array): StateEntry[] =>
  rowsOf(packed, SUMMARY_ROW).map((row) => ({ ...readVersion(row), mark: copy(row.subarray(VERSION_ROW)) }));

function rowsOf(packed: Uint8Array, length: number): Buffer[] {
  const buffer = Buffer.from(packed.buffer, packed.byteOffset, packed.length);
  return Array.from({ length: packed.length / length }, (_, i) => buffer.subarray(i * length, (i + 1) * length));
}

function writeVersion(out: Buffer, at: number, { origin, incarnation, version }: OriginVersion): void {
  out.set(packName(origin), at);
  out.writeUIntBE(incarnation, at + NAME_BYTES, COUNTER_BYTES);
  out.writeUIntBE(version, at + NAME_BYTES + COUNTER_BYTES, COUNTER_BYTES);
}

function readVersion(row: Buffer): OriginVersion {
  return {
    origin: unpackName(row),
    incarnation: row.readUIntBE(NAME_BYTES, COUNTER_BYTES),
    version: row.readUIntBE(NAME_BYTES + COUNTER_BYTES, COUNTER_BYTES),
  };
}
