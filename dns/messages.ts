import { z } from "zod/mini";
import { MAX_RECORDS, type OriginState } from "#dns/records.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import { canonicalIpv6, isIpv4 } from "#src/address.js";
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

/** Which addresses records may have: names have IPv4 addresses; IPv6 ones are claimed in the same messages (docker/addresses/address-claims.ts). */
export type AddressFamilies = "ipv4" | "both";

const stateOf = (families: AddressFamilies) => {
  const isAddress = (address: string) => isIpv4(address) || (families === "both" && canonicalIpv6(address) === address);
  const record = z.object({
    hostname: text(254),
    address: text(45).check(z.refine(isAddress)),
    ident: text(255),
    version: countShape,
    tombstone: countShape,
  });
  return z.object({
    origin: peerNameShape,
    incarnation: countShape,
    horizon: countShape,
    records: z.array(record).check(z.maxLength(MAX_RECORDS)),
  });
};
const origins = z.array(peerNameShape).check(z.maxLength(MAX_PEERS));

const shapeOf = (families: AddressFamilies) =>
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("digest"), digest: text(32) }),
    z.object({
      kind: z.literal("summary"),
      origins: z.array(z.tuple([peerNameShape, countShape, text(32)])).check(z.maxLength(MAX_PEERS)),
    }),
    z.object({ kind: z.literal("want"), origins }),
    z.object({ kind: z.literal("states"), states: z.array(stateOf(families)).check(z.maxLength(MAX_PEERS)) }),
  ]);
const SHAPES = { ipv4: shapeOf("ipv4"), both: shapeOf("both") };

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
export function decodeMessage(bytes: Uint8Array, families: AddressFamilies): Message {
  const message = decode(SHAPES[families], bytes, "a DNS gossip message");
  if (message.kind !== "states") return message;
  return {
    kind: "states",
    states: message.states.map((each) => ({
      ...each,
      records: each.records.map((one) => ({ ...one, origin: each.origin })),
    })),
  };
}
