import * as z from "zod/mini";
import { countShape, type PeerName, peerNameShape } from "#mesh/peer.js";
import { decode, encode } from "#src/codec.js";

/** A message between neighbours, inside the encrypted channel of their connection. */
export type MeshMessage =
  | { readonly kind: "heartbeat" }
  /** The receiver answers immediately with a heartbeat. */
  | { readonly kind: "probe" }
  /** The sender closes the connection. */
  | { readonly kind: "bye"; readonly code: string; readonly text: string }
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
const MAX_NOTICE_BYTES = 64;
/** Maximum number of values in a message: those of notices, and the map around them. Payloads are one value each. */
const MAX_ITEMS = MAX_NOTICES + 32;
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

/** Encodes a message as MessagePack. */
export function encodeMessage(message: MeshMessage): Uint8Array {
  return encode(message);
}

/** Decodes and validates a message. @throws WEAVE_MESSAGE_MALFORMED */
export function decodeMessage(bytes: Uint8Array): MeshMessage {
  return decode(shape, bytes, "a peer's message", MAX_ITEMS) as MeshMessage;
}
