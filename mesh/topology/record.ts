import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import { nicknameShape, type PeerLink } from "#mesh/peer.js";
import { packName, type RecordFormat, unpackName } from "#mesh/replica/record-format.js";
import { hostOf, hostPortText, portOf } from "#src/net/host-port.js";
import { toHex } from "#src/text.js";

/** What a peer is, for one run of its process. */
export interface SelfRecord {
  readonly kind: "self";
  readonly nickname: string;
  /** The Ed25519 key that signs the peer's records, 64 hexadecimal digits. */
  readonly identity: string;
  /** Static X25519 key, 64 hexadecimal digits. */
  readonly key: string;
  /** 16 hexadecimal digits. */
  readonly uid: string;
}

/** One link of a peer. */
export interface LinkRecord extends PeerLink {
  readonly kind: "link";
}

/** A record of the replicated set that is the topology. */
export type TopologyRecord = SelfRecord | LinkRecord;

const KEY_BYTES = 32;
const UID_BYTES = 8;
/** Bytes of the start of an identity in a link, and before it the name. */
const START_BYTES = 8;
const NAME_BYTES = 6;
const LINK_HEAD_BYTES = NAME_BYTES + START_BYTES + 1;
const MAX_ADDRESS = 64;
const ADDRESS = /^[\w.:[\]-]*$/;
const OUTBOUND = 1;
const ESTABLISHED = 2;
/** The address is text: not an IPv4 address with a port, in six bytes. */
const TEXT = 4;

const bytesOf = (length: number): ZodMiniType<Uint8Array> =>
  z.instanceof(Uint8Array).check(z.refine((bytes) => bytes.length === length)) as ZodMiniType<Uint8Array>;

const linkShape = z.instanceof(Uint8Array).check(
  z.refine((bytes) => {
    const rest = bytes.length - LINK_HEAD_BYTES;
    const flags = bytes[LINK_HEAD_BYTES - 1];
    if (rest < 0 || flags > (OUTBOUND | ESTABLISHED | TEXT)) return false;
    return (flags & TEXT) === 0 ? rest === 6 : rest <= MAX_ADDRESS && ADDRESS.test(textOf(bytes));
  }),
);

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(LINK_HEAD_BYTES)).toString("latin1");

/** Returns an IPv4 address with a port as six bytes; undefined for any other text. */
function packAddress(address: string): Uint8Array | undefined {
  const octets = hostOf(address).split(".").map(Number);
  if (octets.length !== 4 || octets.some((octet) => !Number.isInteger(octet) || octet < 0 || octet > 255))
    return undefined;
  const port = portOf(address);
  const bytes = Uint8Array.of(...octets, port >> 8, port & 255);
  return unpackAddress(bytes) === address ? bytes : undefined;
}

const unpackAddress = (bytes: Uint8Array): string =>
  hostPortText(bytes.subarray(0, 4).join("."), bytes[4] * 256 + bytes[5]);

function packLink({ to, key, address, outbound, established }: PeerLink): Uint8Array {
  const packed = packAddress(address);
  const flags = (outbound ? OUTBOUND : 0) | (established ? ESTABLISHED : 0) | (packed === undefined ? TEXT : 0);
  return Buffer.concat([
    packName(to),
    Buffer.from(key, "hex"),
    Uint8Array.of(flags),
    packed ?? Buffer.from(address, "latin1"),
  ]);
}

function unpackLink(bytes: Uint8Array): LinkRecord {
  const flags = bytes[LINK_HEAD_BYTES - 1];
  return {
    kind: "link",
    to: unpackName(bytes),
    key: toHex(bytes.subarray(NAME_BYTES, NAME_BYTES + START_BYTES)),
    address: (flags & TEXT) === 0 ? unpackAddress(bytes.subarray(LINK_HEAD_BYTES)) : textOf(bytes),
    outbound: (flags & OUTBOUND) !== 0,
    established: (flags & ESTABLISHED) !== 0,
  };
}

/** The format of the topology: a link to an IPv4 address takes 22 bytes. */
export const TOPOLOGY_FORMAT: RecordFormat<TopologyRecord> = {
  name: "topology",
  shape: z.union([
    z.tuple([linkShape]),
    z.tuple([nicknameShape, bytesOf(KEY_BYTES), bytesOf(KEY_BYTES), bytesOf(UID_BYTES)]),
  ]) as unknown as ZodMiniType<readonly unknown[]>,
  pack(fields) {
    if (fields.kind === "link") return [packLink(fields)];
    const { nickname, identity, key, uid } = fields;
    return [nickname, Buffer.from(identity, "hex"), Buffer.from(key, "hex"), Buffer.from(uid, "hex")];
  },
  unpack(packed) {
    if (packed.length === 1) return unpackLink(packed[0] as Uint8Array);
    const [nickname, ...keys] = packed as [string, Uint8Array, Uint8Array, Uint8Array];
    const [identity, key, uid] = keys.map((bytes) => toHex(bytes));
    return { kind: "self", nickname, identity, key, uid };
  },
  keyOf: (fields) => (fields.kind === "link" ? fields.to : SELF),
  heapBytes: (fields) => (fields.kind === "link" ? LINK_HEAP_BYTES : SELF_HEAP_BYTES + 2 * fields.nickname.length),
};

/** Key of the record of the peer itself; no name of a peer. */
const SELF = "self";
/** Estimated memory of records, with their copies in the routes. */
const LINK_HEAP_BYTES = 400;
const SELF_HEAP_BYTES = 600;

/** Returns the peers and links of a peer's records. */
export function partsOf(records: readonly TopologyRecord[]): { self: SelfRecord | undefined; links: PeerLink[] } {
  const links = records
    .filter((record) => record.kind === "link")
    .map(({ to, key, address, outbound, established }) => ({ to, key, address, outbound, established }))
    .sort((a, b) => (a.to < b.to ? -1 : 1));
  return { self: records.find((record) => record.kind === "self"), links };
}
