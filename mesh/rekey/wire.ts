import * as z from "zod/mini";
import { countShape, keyShape } from "#mesh/peer.js";
import { MAX_ORDERS } from "#mesh/rekey/ledger.js";
import { orderIdShape, type SignedOrder, secretShape, signedOrderShape } from "#mesh/rekey/order.js";
import { signatureShape } from "#mesh/signing.js";
import { decode, encode } from "#src/codec.js";

/** Acknowledgements of one message, and peers that one request names. */
export const MAX_ACKNOWLEDGEMENTS = 256;

/** The statement of a peer that it uses the secret of an order. */
export interface Acknowledgement {
  readonly identity: string;
  /** Id of the order. */
  readonly order: string;
  readonly signature: Uint8Array;
}

/** A message about orders between direct neighbours, inside their encrypted connection. */
export interface OrderMessage {
  /** Orders, the oldest first, and the secret of the one in force. */
  readonly orders: readonly SignedOrder[];
  /** Id of the order in force at the sender; empty: none. */
  readonly current: string;
  /** Its generation; 0: none. */
  readonly generation: number;
  /** The secret of {@link current}, if the message contains that order and the network has a password. */
  readonly key?: Uint8Array | undefined;
  readonly acknowledgements: readonly Acknowledgement[];
  /** Identities of which the sender lacks the acknowledgement of {@link current}: the receiver answers with those that it has. */
  readonly lacking: readonly string[];
}

const shape = z.object({
  orders: z.array(signedOrderShape).check(z.maxLength(MAX_ORDERS)),
  current: z.union([z.literal(""), orderIdShape]),
  generation: countShape,
  key: z.optional(secretShape),
  acknowledgements: z
    .array(z.object({ identity: keyShape, order: orderIdShape, signature: signatureShape }))
    .check(z.maxLength(MAX_ACKNOWLEDGEMENTS)),
  lacking: z.array(keyShape).check(z.maxLength(MAX_ACKNOWLEDGEMENTS)),
});

/** Encodes a message about orders. */
export function encodeRekey(message: OrderMessage): Uint8Array {
  return encode(message);
}

/** Decodes a neighbour's message about orders. @throws WEAVE_MESSAGE_MALFORMED */
export function decodeRekey(bytes: Uint8Array): OrderMessage {
  return decode(shape as unknown as z.ZodMiniType<OrderMessage>, bytes, "a message about a change of secret");
}
