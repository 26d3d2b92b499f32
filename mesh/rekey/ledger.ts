import * as z from "zod/mini";
import { countShape } from "#mesh/peer.js";
import {
  compareOrders,
  fingerprintOf,
  isSecretOf,
  labelOf,
  type SignedOrder,
  secretShape,
  signedOrderShape,
} from "#mesh/rekey/order.js";
import { MAX_ACCEPTED, type NetworkSecret } from "#mesh/secrets.js";

/** Orders that are remembered, so that one of them changes nothing when it arrives again. */
export const MAX_ORDERS = 8;
/** Replaced secrets that are recognized at a later launch. */
const MAX_REPLACED = 16;

/** A secret, or none: a network without a password. */
export interface KeptSecret {
  readonly label: number;
  readonly key?: Uint8Array | undefined;
}

/** What a peer keeps of orders, in memory and on disk. The first secret is that in force. */
export interface RekeyState {
  /** Newest first; the first one with a secret is in force. */
  readonly orders: readonly SignedOrder[];
  /** Accepted secrets, newest first. */
  readonly secrets: readonly KeptSecret[];
  /** Fingerprints of replaced secrets, newest last; the last one is that of the launch, if it was replaced. */
  readonly replaced: readonly string[];
  /** Id of the order in force. */
  readonly current: string;
  /** Time until when the secrets before the newest are accepted at the latest, in ms since the epoch; 0: they are not. */
  readonly earlierUntil: number;
  /** Whether the exclusions of the orders were in force for a while: a later start does not repeat them, as one may be lifted. */
  readonly applied: boolean;
}

const stored: z.ZodMiniType<unknown> = z.object({
  orders: z.array(signedOrderShape).check(z.minLength(1), z.maxLength(MAX_ORDERS)),
  secrets: z
    .array(z.object({ label: countShape, key: z.optional(secretShape) }))
    .check(z.minLength(1), z.maxLength(MAX_ACCEPTED)),
  replaced: z.array(z.string().check(z.maxLength(64))).check(z.maxLength(MAX_REPLACED)),
  current: z.string(),
  earlierUntil: countShape,
  applied: z.boolean(),
});
/** The shape of a stored {@link RekeyState}. */
export const rekeyStateShape = stored as z.ZodMiniType<RekeyState>;

/** What the password of a launch is, compared with the orders that a peer has kept. */
export type LaunchedAs = "first" | "current" | "replaced" | "other";

/**
 * Compares the fingerprint of a launch's secret with the kept state. `first`: there is no order. `current`: it is the one in force. `replaced`:
 * an order has replaced it, and the one in force is used. `other`: the launch is one with a new password, and the state is obsolete.
 */
export function launchedAs(state: RekeyState | undefined, fingerprint: string): LaunchedAs {
  if (state === undefined) return "first";
  if (fingerprint === fingerprintOf(state.secrets[0].key)) return "current";
  return state.replaced.includes(fingerprint) ? "replaced" : "other";
}

/** The accepted secrets of a state, for handshakes. */
export function networkSecrets({ secrets }: RekeyState): (NetworkSecret | undefined)[] {
  return secrets.map(({ label, key }) => (key === undefined ? undefined : { generation: label, key }));
}

/**
 * The state after an order comes into force. Its secret replaces the one in force, which is accepted besides it until `earlierUntil`.
 *
 * @param launched the secret before the first order
 * @param launchedWith the fingerprint of the launch's secret: it is never dropped from the replaced ones, because what keeps the router
 *   running starts it with that secret again, after any number of orders
 */
export function withSecret(
  state: RekeyState | undefined,
  signed: SignedOrder,
  {
    key,
    launched,
    launchedWith,
    earlierUntil,
  }: { key: Uint8Array | undefined; launched: KeptSecret; launchedWith: string; earlierUntil: number },
): RekeyState {
  const before = state?.secrets ?? [launched];
  // The same secret twice: this peer was launched with the new password.
  const others = before.filter((each) => !isSecretOf(signed.order, each.key));
  const now = fingerprintOf(key);
  // The newest of the earlier ones comes last: the oldest is dropped first.
  const earlier = [...(state?.replaced ?? []), ...others.map((each) => fingerprintOf(each.key)).reverse()];
  const fingerprints = [...earlier.filter((each) => each !== launchedWith), launchedWith];
  return {
    orders: withOrders(state?.orders ?? [], [signed]),
    secrets: [{ label: labelOf(signed.order), ...(key && { key }) }, ...others].slice(0, MAX_ACCEPTED),
    replaced: [...new Set(fingerprints)].filter((each) => each !== now).slice(-MAX_REPLACED),
    current: signed.order.id,
    earlierUntil: others.length === 0 ? 0 : earlierUntil,
    applied: false,
  };
}

/** Adds orders that a list lacks, newest first. The oldest ones beyond {@link MAX_ORDERS} are dropped. */
export function withOrders(orders: readonly SignedOrder[], more: readonly SignedOrder[]): readonly SignedOrder[] {
  const byId = new Map([...orders, ...more].map((signed) => [signed.order.id, signed]));
  return [...byId.values()].sort((a, b) => compareOrders(b.order, a.order)).slice(0, MAX_ORDERS);
}

/** The state without the secrets before the newest one, which are overwritten in memory. */
export function withoutEarlier(state: RekeyState): RekeyState {
  for (const { key } of state.secrets.slice(1)) key?.fill(0);
  return { ...state, secrets: state.secrets.slice(0, 1), earlierUntil: 0 };
}

/**
 * The exclusions that a peer without a state must apply, or one that may have lost some: those of the order in force, which has those
 * of its predecessors that still hold, and those of orders beside that line. Of a predecessor itself one may be lifted.
 */
export function exclusionsInForce(state: RekeyState): SignedOrder["order"]["excluded"] {
  const inForce = state.orders.find(({ order }) => order.id === state.current)?.order.excluded ?? [];
  return [...inForce, ...doubtfulExclusions(state)];
}

/**
 * Peers that an order excluded which is no predecessor of the one in force: both were given at the same time. The excluded peer may
 * have received the secret in force from a peer that did not yet know of its exclusion.
 */
export function doubtfulExclusions({ orders, current }: RekeyState): SignedOrder["order"]["excluded"] {
  const byId = new Map(orders.map(({ order }) => [order.id, order]));
  const line = new Set<string>();
  const sure = new Set<string>();
  for (let order = byId.get(current); order !== undefined && !line.has(order.id); order = byId.get(order.after)) {
    line.add(order.id);
    for (const { identity } of order.excluded) sure.add(identity);
  }
  const others = orders.filter(({ order }) => !line.has(order.id)).flatMap(({ order }) => order.excluded);
  const doubtful = new Map(others.map((peer) => [peer.identity, peer]));
  return [...doubtful.values()].filter(({ identity }) => !sure.has(identity));
}
