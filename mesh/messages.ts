import * as z from "zod/mini";
import {
  countShape,
  deltaShape,
  MAX_PEERS,
  type PeerDelta,
  type PeerName,
  type PeerRecord,
  peerNameShape,
  recordShape,
} from "#mesh/peer.js";
import type { SummaryEntry } from "#mesh/topology.js";
import { decode, encode } from "#src/codec.js";

/** A message between neighbours, inside the encrypted channel of their connection. */
export type MeshMessage =
  | { readonly kind: "heartbeat" }
  /** The receiver answers immediately with a heartbeat. */
  | { readonly kind: "probe" }
  /** The sender closes the connection. */
  | { readonly kind: "bye"; readonly code: string; readonly text: string }
  /** Records and changes of records. */
  | { readonly kind: "topology"; readonly records: readonly PeerRecord[]; readonly deltas: readonly PeerDelta[] }
  /** Hash of the sender's topology. */
  | { readonly kind: "digest"; readonly digest: string }
  /** Versions of the sender's records; the answer to a different digest. */
  | { readonly kind: "summary"; readonly entries: readonly SummaryEntry[] }
  /** A request for records. */
  | { readonly kind: "want"; readonly names: readonly PeerName[] }
  | {
      readonly kind: "unicast";
      readonly channel: string;
      readonly from: PeerName;
      readonly to: PeerName;
      readonly hops: number;
      readonly payload: Uint8Array;
    }
  | {
      readonly kind: "broadcast";
      readonly channel: string;
      readonly from: PeerName;
      readonly hops: number;
      readonly payload: Uint8Array;
    }
  | { readonly kind: "gossip"; readonly channel: string; readonly from: PeerName; readonly payload: Uint8Array }
  /** News along the tree of the channel: see gossip-spreader.ts. */
  | { readonly kind: "push"; readonly channel: string; readonly from: PeerName; readonly payload: Uint8Array }
  /** Notices of news that the sender has. */
  | { readonly kind: "notices"; readonly channel: string; readonly notices: readonly Uint8Array[] }
  /** The receiver must send notices in place of news (false), or news again. */
  | { readonly kind: "branch"; readonly channel: string; readonly grown: boolean }
  /** Orders to change the secret of the network: see mesh/rekey. It is never relayed. */
  | { readonly kind: "rekey"; readonly payload: Uint8Array }
  /** A message between the overlays of the two ends. */
  | { readonly kind: "overlay"; readonly payload: Uint8Array };

/** Maximum number of notices in a message, and of bytes of each. */
export const MAX_NOTICES = 1_024;
export const MAX_NOTICE_BYTES = 64;
/** Maximum number of characters of the reason in a `bye`. */
export const MAX_BYE_TEXT = 512;

const channelName = z.string().check(z.minLength(1), z.maxLength(32));
const payload = z.instanceof(Uint8Array);

const shape = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("heartbeat") }),
  z.object({ kind: z.literal("probe") }),
  z.object({
    kind: z.literal("bye"),
    code: z.string().check(z.maxLength(64)),
    text: z.string().check(z.maxLength(MAX_BYE_TEXT)),
  }),
  z.object({
    kind: z.literal("topology"),
    records: z.array(recordShape).check(z.maxLength(MAX_PEERS)),
    deltas: z.array(deltaShape).check(z.maxLength(MAX_PEERS)),
  }),
  z.object({ kind: z.literal("digest"), digest: z.string().check(z.maxLength(64)) }),
  z.object({
    kind: z.literal("summary"),
    entries: z
      .array(z.tuple([peerNameShape, countShape, countShape, z.string().check(z.maxLength(16))]))
      .check(z.maxLength(MAX_PEERS)),
  }),
  z.object({ kind: z.literal("want"), names: z.array(peerNameShape).check(z.maxLength(MAX_PEERS)) }),
  z.object({
    kind: z.literal("unicast"),
    channel: channelName,
    from: peerNameShape,
    to: peerNameShape,
    hops: countShape,
    payload,
  }),
  z.object({ kind: z.literal("broadcast"), channel: channelName, from: peerNameShape, hops: countShape, payload }),
  z.object({ kind: z.literal("gossip"), channel: channelName, from: peerNameShape, payload }),
  z.object({ kind: z.literal("push"), channel: channelName, from: peerNameShape, payload }),
  z.object({
    kind: z.literal("notices"),
    channel: channelName,
    notices: z
      .array(payload.check(z.refine((bytes) => bytes.length <= MAX_NOTICE_BYTES)))
      .check(z.maxLength(MAX_NOTICES)),
  }),
  z.object({ kind: z.literal("branch"), channel: channelName, grown: z.boolean() }),
  z.object({ kind: z.literal("rekey"), payload: z.instanceof(Uint8Array) }),
  z.object({ kind: z.literal("overlay"), payload }),
]);

/** Approximate size of a topology message in bytes. One message with all records of a large network would exceed the limit. */
const TOPOLOGY_BYTES = 1 << 20;
/** Upper bounds, in bytes, of an encoded record without links, and of each link. */
const RECORD_BYTES = 1_500;
const LINK_BYTES = 192;

/** Distributes records and deltas over messages, each far below the size limit of a message. */
export function topologyMessages(records: readonly PeerRecord[], deltas: readonly PeerDelta[]): MeshMessage[] {
  const messages: { kind: "topology"; records: PeerRecord[]; deltas: PeerDelta[] }[] = [];
  let room = 0;
  const place = (links: number) => {
    const bytes = RECORD_BYTES + links * LINK_BYTES;
    if (messages.length === 0 || bytes > room) {
      messages.push({ kind: "topology", records: [], deltas: [] });
      room = TOPOLOGY_BYTES;
    }
    room -= bytes;
    return messages[messages.length - 1];
  };
  for (const record of records) place(record.links.length).records.push(record);
  for (const delta of deltas) place(delta.set.length + delta.drop.length).deltas.push(delta);
  return messages;
}

/** Encodes a message as MessagePack. */
export function encodeMessage(message: MeshMessage): Uint8Array {
  return encode(message);
}

/** Decodes and validates a message. @throws WEAVE_MESSAGE_MALFORMED */
export function decodeMessage(bytes: Uint8Array): MeshMessage {
  return decode(shape, bytes, "a peer's message") as MeshMessage;
}
