import { createHash, timingSafeEqual } from "node:crypto";
import * as z from "zod/mini";
import { countShape, keyShape, nicknameShape, type PeerName, peerNameShape, peerText } from "#mesh/peer.js";
import { MAX_ORDER_LABEL, SECRET_BYTES } from "#mesh/secrets.js";
import { type Signer, signatureShape, type Verify } from "#mesh/signing.js";

/** Peers that one order excludes at most, those that earlier orders excluded among them. */
export const MAX_EXCLUDED = 64;
/** Longest time between an order and its deadline. */
export const MAX_DEADLINE_MS = 24 * 3_600_000;
/** Longest time for which an order lets peers that were away use the earlier secret. */
export const MAX_ACCEPT_EARLIER_MS = 30 * 24 * 3_600_000;

/** A peer that an order names. */
export interface NamedPeer {
  readonly name: PeerName;
  readonly identity: string;
}

/** An order to change the network's secret, without the secret itself. */
export interface RekeyOrder {
  /** Random, 32 hexadecimal digits. */
  readonly id: string;
  /**
   * Milliseconds since the Unix epoch when the order was given, or one more than its predecessor's generation if that is later. Of
   * two orders the one with the higher generation is in force, and of two with equal ones that with the higher id.
   */
  readonly generation: number;
  /** The id of the order that was in force where this one was given; empty: none. */
  readonly after: string;
  /** The peer that gives the order. */
  readonly by: NamedPeer & { readonly nickname: string };
  /** SHA-256 of the new secret, 64 hexadecimal digits; empty: the network has no password from now on. */
  readonly commitment: string;
  /** Peers that are excluded: by this order, or by one before it. */
  readonly excluded: readonly NamedPeer[];
  /** Time until when the earlier secret is accepted while a peer that was reachable lacks the new one, in ms since the epoch. */
  readonly deadline: number;
  /** Time until when peers that were away may use the earlier secret, in ms since the epoch; 0: never. */
  readonly acceptEarlierUntil: number;
}

/** An order with the signature of the peer that gives it. */
export interface SignedOrder {
  readonly order: RekeyOrder;
  readonly signature: Uint8Array;
}

/** Reasons why an order or an acknowledgement of one is rejected; also labels of metrics. */
export const REKEY_REJECTIONS = ["acknowledgement", "excluded", "future", "name", "rate", "self", "signature"] as const;
export type RekeyRejection = (typeof REKEY_REJECTIONS)[number];

/** An order that was rejected, and the neighbour that sent it. */
export interface RejectedOrder {
  readonly order: RekeyOrder;
  readonly reason: RekeyRejection;
  /** The peer as log and status name it. */
  readonly from: string;
}

const hex = (digits: number) => z.string().check(z.regex(new RegExp(`^[0-9a-f]{${digits}}$`)));
const namedShape = z.object({ name: peerNameShape, identity: keyShape });

export const orderIdShape = hex(32);

export const signedOrderShape = z.object({
  order: z.object({
    id: orderIdShape,
    generation: countShape,
    after: z.string().check(z.regex(/^([0-9a-f]{32})?$/)),
    by: z.object({ ...namedShape.shape, nickname: nicknameShape }),
    commitment: z.string().check(z.regex(/^([0-9a-f]{64})?$/)),
    excluded: z.array(namedShape).check(z.maxLength(MAX_EXCLUDED)),
    deadline: countShape,
    acceptEarlierUntil: countShape,
  }),
  signature: signatureShape,
});

/** Signs an order. */
export function signOrder(order: RekeyOrder, signer: Signer): SignedOrder {
  return { order, signature: signer.sign("rekey", orderBytes(order)) };
}

/** Whether the peer that an order names has given it. */
export function isGenuine({ order, signature }: SignedOrder, verify: Verify): boolean {
  return verify(order.by.identity, "rekey", orderBytes(order), signature);
}

/** The order of orders: negative if `a` is older than `b`. */
export function compareOrders(
  a: Pick<RekeyOrder, "id" | "generation">,
  b: Pick<RekeyOrder, "id" | "generation">,
): number {
  return a.generation - b.generation || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** Older than every order. */
export const NO_ORDER: Pick<RekeyOrder, "id" | "generation"> = { id: "", generation: 0 };

/** The peer that gave an order, `name(nickname)`. */
export function ordererText({ by }: RekeyOrder): string {
  return peerText(by);
}

/** The commitment to a secret; empty for none. */
export function commitmentOf(key: Uint8Array | undefined): string {
  return key === undefined ? "" : digest("weave rekey commitment\0", key).toString("hex");
}

/** Whether a secret is that of an order. */
export function isSecretOf(order: RekeyOrder, key: Uint8Array | undefined): boolean {
  return equalText(order.commitment, commitmentOf(key));
}

/** The text by which a replaced secret is recognized at a later launch. */
export function fingerprintOf(key: Uint8Array | undefined): string {
  return key === undefined ? "none" : digest("weave replaced secret\0", key).toString("hex");
}

/** Compares texts in a time that depends on their lengths alone. */
function equalText(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

/** The label of an order's secret in handshakes: random as the id, so that it does not reveal the number of changes. */
export function labelOf(order: RekeyOrder): number {
  return 1 + (Number.parseInt(order.id.slice(0, 8), 16) % MAX_ORDER_LABEL);
}

export const secretShape = z
  .instanceof(Uint8Array)
  .check(z.refine((bytes) => (bytes as Uint8Array).length === SECRET_BYTES));

/** The signed bytes: JSON of a list in a fixed sequence, the same at all builds. */
function orderBytes(order: RekeyOrder): Uint8Array {
  const { id, generation, after, by, commitment, excluded, deadline, acceptEarlierUntil } = order;
  const peers = excluded.map(({ name, identity }) => [name, identity]);
  const orderer = [by.name, by.nickname, by.identity];
  return Buffer.from(
    JSON.stringify(["order 1", id, generation, after, orderer, commitment, peers, deadline, acceptEarlierUntil]),
  );
}

function digest(purpose: string, key: Uint8Array): Buffer {
  return createHash("sha256").update(purpose).update(key).digest();
}
