import { z } from "zod/mini";
import { MAX_RECORDS, type OriginState } from "#dns/records.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import { decode, encode } from "#src/codec.js";

/** What name servers say to one another. */
export type Message =
  /** What I have, in short: for new neighbours, and for repair. */
  | { readonly kind: "digest"; readonly digest: string }
  /** What I have, peer by peer. */
  | { readonly kind: "summary"; readonly origins: readonly OriginSummary[] }
  | { readonly kind: "want"; readonly origins: readonly PeerName[] }
  /** All that is known of peers, or (horizon 0) what is news. */
  | { readonly kind: "states"; readonly states: readonly OriginState[] };

export type OriginSummary = readonly [origin: PeerName, incarnation: number, digest: string];

const text = (max: number) => z.string().check(z.maxLength(max));
const record = z.object({
  hostname: text(254),
  // IPv6 addresses are claimed in the same messages (docker/claims.ts); names have none.
  address: z.string().check(z.regex(/^(\d{1,3}(\.\d{1,3}){3}|[\da-f:.]{2,45})$/)),
  ident: text(255),
  version: countShape,
  tombstone: countShape,
});
const state = z.object({
  origin: peerNameShape,
  incarnation: countShape,
  horizon: countShape,
  records: z.array(record).check(z.maxLength(MAX_RECORDS)),
});
const origins = z.array(peerNameShape).check(z.maxLength(MAX_PEERS));

const shape = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("digest"), digest: text(32) }),
  z.object({
    kind: z.literal("summary"),
    origins: z.array(z.tuple([peerNameShape, countShape, text(32)])).check(z.maxLength(MAX_PEERS)),
  }),
  z.object({ kind: z.literal("want"), origins }),
  z.object({ kind: z.literal("states"), states: z.array(state).check(z.maxLength(MAX_PEERS)) }),
]);

export function encodeMessage(message: Message): Uint8Array {
  if (message.kind !== "states") return encode(message);
  const states = message.states.map(({ origin, incarnation, horizon, records }) => ({
    origin,
    incarnation,
    horizon,
    records: records.map(({ hostname, address, ident, version, tombstone }) => ({
      hostname,
      address,
      ident,
      version,
      tombstone,
    })),
  }));
  return encode({ kind: "states", states });
}

/** @throws WEAVE_MESSAGE_MALFORMED */
export function decodeMessage(bytes: Uint8Array): Message {
  const message = decode(shape, bytes, "a DNS gossip message");
  if (message.kind !== "states") return message;
  return {
    kind: "states",
    states: message.states.map((each) => ({
      ...each,
      records: each.records.map((one) => ({ ...one, origin: each.origin })),
    })),
  };
}
