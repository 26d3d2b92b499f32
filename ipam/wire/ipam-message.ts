import * as z from "zod/mini";
import type { Consent } from "#ipam/ring/consent.js";
import type { Interval } from "#ipam/ring/interval.js";
import type { Genesis, Ring, Span } from "#ipam/ring/ring.js";
import { addressBytes, addressFromBytes } from "#ipam/ring/subnet.js";
import {
  addressShape,
  deedsFromWire,
  genesisShape,
  intervalFromWire,
  intervalShape,
  intervalToWire,
  MAX_SPANS,
  ringFromWire,
  ringToWire,
  spansFromWire,
  spansShape,
  spansToWire,
} from "#ipam/wire/ring-codec.js";
import { type Votes, votesFromWire, votesShape, votesToWire } from "#ipam/wire/vote.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import { signatureShape } from "#mesh/signing.js";
import { decode, encode } from "#src/codec.js";

/** A message between allocators. Each carries the range that its sender allocates from. */
export type IpamMessage =
  /** Summary of the sender's ring, for new neighbours and for repair, and the sender's signature that it stands by this ring. */
  | { readonly kind: "digest"; readonly ring: RingSummary | undefined; readonly stand: Uint8Array | undefined }
  /** The sender's whole ring. `ask`: the receiver must send its own ring if it differs. */
  | {
      readonly kind: "ring";
      readonly genesis: Genesis;
      readonly spans: readonly Span[];
      readonly ask: boolean;
      /** The peers that stand by it, with their signatures; empty if the receiver is known to have a ring of this origin. */
      readonly stands: readonly (readonly [peer: PeerName, signature: Uint8Array])[];
    }
  /** Changes of the ring with the id `ring`, and who has agreed to takeovers among them. */
  | {
      readonly kind: "news";
      readonly ring: string;
      readonly spans: readonly Span[];
      readonly consents: readonly Consent[];
    }
  /** Asks which decisions lead from the ownership of these spans, as the sender knows it, to the present one. */
  | { readonly kind: "title"; readonly ring: string; readonly spans: readonly Span[] }
  /** The answer: decisions about these addresses, which may overlap, and who has agreed to takeovers among them. */
  | {
      readonly kind: "titles";
      readonly ring: string;
      readonly spans: readonly Span[];
      readonly consents: readonly Consent[];
    }
  /** Votes for the first ring. */
  | { readonly kind: "election"; readonly votes: Votes }
  /** An observer needs a ring: electors must begin an election. */
  | { readonly kind: "need" }
  /** A request for space in an interval. */
  | { readonly kind: "request"; readonly bounds: Interval }
  /** The answer of a peer that has nothing to donate in the interval; `free` is its free space in the whole range. */
  | { readonly kind: "denied"; readonly bounds: Interval; readonly free: number }
  /** The approximate number of free addresses of a peer, by which other peers choose their donor. */
  | { readonly kind: "hint"; readonly peer: PeerName; readonly version: number; readonly free: number }
  /** The sender takes these spans over, or owns them after a restart. It requests newer versions, and the addresses in use. */
  | { readonly kind: "agree"; readonly ring: string; readonly id: number; readonly spans: readonly Span[] }
  /**
   * The answer of a peer that does not know that the removed one is alive: later decisions about these addresses, the known agreements to
   * takeovers of them, the sender's own among them, and the addresses that the sender's containers hold.
   */
  | {
      readonly kind: "agreed";
      readonly ring: string;
      readonly id: number;
      readonly spans: readonly Span[];
      readonly consents: readonly Consent[];
      readonly held: readonly bigint[];
    }
  /** The sender has got these spans from another peer. It asks whether the receiver knows that, or another transfer of the giver. */
  | { readonly kind: "confirm"; readonly ring: string; readonly id: number; readonly spans: readonly Span[] }
  /**
   * The answer: whether the receiver's ring has these spans now; if not, what it has, and other decisions of the giver; the addresses that
   * its containers hold.
   */
  | {
      readonly kind: "confirmed";
      readonly ring: string;
      readonly id: number;
      readonly agreed: boolean;
      readonly spans: readonly Span[];
      readonly held: readonly bigint[];
    }
  /** A request to transfer addresses that the receiver owns, because containers of the sender hold them; and its stand by an earlier ring. */
  | {
      readonly kind: "keep";
      readonly addresses: readonly bigint[];
      readonly former: readonly [ring: string, signature: Uint8Array] | undefined;
    }
  /** The answer for addresses that are not transferred, because containers of the sender (`ident`) hold them. */
  | { readonly kind: "kept"; readonly held: readonly { readonly address: bigint; readonly ident: string }[] };

/** A summary of a ring. If two summaries differ, the whole rings are exchanged. */
export interface RingSummary {
  /** Number of peers of its genesis. */
  readonly peers: number;
  /** Time of its genesis. */
  readonly at: number;
  readonly digest: string;
  /** The id of the ring: a hash of its range and origin. */
  readonly id: string;
}

export function ringSummary(ring: Ring | undefined): RingSummary | undefined {
  return ring && { peers: ring.genesis.peers.length, at: ring.genesis.at, digest: ring.digest, id: ring.id };
}

/** Maximum number of decisions in a `titles` message, some 64 KB; and of spans in the request for it. */
export const MAX_PARTS = 400;
/** Maximum number of takeovers in a message of which it contains the agreements. */
const MAX_CONSENTS = 16;
/** Maximum number of addresses in a request to transfer them: each costs a decision that all peers verify. */
export const MAX_KEPT = 256;
/** Maximum number of values in a message: a span has 11 and a deed 6, and there are others beside them. */
const MAX_ITEMS = 20 * MAX_SPANS;
/** Maximum number of addresses in a message. */
const MAX_ADDRESSES = 65_536;

const addresses = z.array(addressShape).check(z.maxLength(MAX_ADDRESSES));
const hash = z.string().check(z.maxLength(32));

/** Peers with their signatures. */
const signatures = z.array(z.tuple([peerNameShape, signatureShape])).check(z.maxLength(MAX_PEERS));
/** Agreements to takeovers on the wire: the peer that decided, the removed one, the time, and peers with their signatures. */
const consents = z
  .array(z.tuple([peerNameShape, peerNameShape, countShape, signatures]))
  .check(z.maxLength(MAX_CONSENTS));

const bodyShape = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("digest"),
    ring: z.nullable(z.object({ peers: countShape, at: countShape, digest: hash, id: hash })),
    stand: z.nullable(signatureShape),
  }),
  z.object({ kind: z.literal("ring"), genesis: genesisShape, part: spansShape, ask: z.boolean(), stands: signatures }),
  z.object({ kind: z.literal("news"), ring: hash, part: spansShape, consents }),
  z.object({ kind: z.literal("title"), ring: hash, part: spansShape }),
  z.object({ kind: z.literal("titles"), ring: hash, part: spansShape, consents }),
  z.object({ kind: z.literal("election"), votes: votesShape }),
  z.object({ kind: z.literal("need") }),
  z.object({ kind: z.literal("request"), bounds: intervalShape }),
  z.object({ kind: z.literal("denied"), bounds: intervalShape, free: countShape }),
  z.object({ kind: z.literal("hint"), peer: peerNameShape, version: countShape, free: countShape }),
  z.object({ kind: z.literal("agree"), ring: hash, id: countShape, part: spansShape }),
  z.object({ kind: z.literal("agreed"), ring: hash, id: countShape, part: spansShape, consents, held: addresses }),
  z.object({
    kind: z.literal("confirm"),
    ring: hash,
    id: countShape,
    part: z.object({ ...spansShape.shape, spans: spansShape.shape.spans.check(z.maxLength(MAX_PARTS)) }),
  }),
  z.object({
    kind: z.literal("confirmed"),
    ring: hash,
    id: countShape,
    agreed: z.boolean(),
    part: z.object({ ...spansShape.shape, spans: spansShape.shape.spans.check(z.maxLength(MAX_PARTS)) }),
    held: addresses.check(z.maxLength(MAX_KEPT)),
  }),
  z.object({
    kind: z.literal("keep"),
    addresses: addresses.check(z.maxLength(MAX_KEPT)),
    former: z.nullable(z.tuple([hash, signatureShape])),
  }),
  z.object({
    kind: z.literal("kept"),
    held: z.array(z.tuple([addressShape, z.string().check(z.maxLength(255))])).check(z.maxLength(MAX_ADDRESSES)),
  }),
]);

const shape = z.object({ range: z.string().check(z.maxLength(18)), body: bodyShape });
type WireBody = z.infer<typeof bodyShape>;

/** Encodes a message. @param range the range of the sender, as text */
export function encodeIpamMessage(range: string, message: IpamMessage): Uint8Array {
  return encode({ range, body: toWire(message) });
}

/** Decodes a message, and checks its shape. {@link fromWire} converts the body. @throws WEAVE_MESSAGE_MALFORMED */
export function decodeIpamMessage(bytes: Uint8Array): { range: string; body: WireBody } {
  return decode(shape, bytes, "an IPAM message", MAX_ITEMS);
}

function toWire(message: IpamMessage): WireBody {
  switch (message.kind) {
    case "digest":
      return { kind: "digest", ring: message.ring ?? null, stand: message.stand ?? null };
    case "ring":
      return {
        kind: "ring",
        ask: message.ask,
        stands: message.stands.map(([peer, signature]) => [peer, signature]),
        ...ringToWire(message.genesis, message.spans),
      };
    case "news":
    case "titles": {
      const { kind, ring, spans } = message;
      return { kind, ring, part: spansToWire(spans), consents: consentsToWire(message.consents) };
    }
    case "title":
      return { kind: "title", ring: message.ring, part: spansToWire(message.spans) };
    case "election":
      return { kind: "election", votes: votesToWire(message.votes) };
    case "request":
      return { kind: "request", bounds: intervalToWire(message.bounds) };
    case "denied":
      return { ...message, bounds: intervalToWire(message.bounds) };
    case "agree":
    case "confirm": {
      const { kind, ring, id, spans } = message;
      return { kind, ring, id, part: spansToWire(spans) };
    }
    case "confirmed": {
      const { kind, ring, id, agreed, spans, held } = message;
      return { kind, ring, id, agreed, part: spansToWire(spans), held: held.map(addressBytes) };
    }
    case "agreed": {
      const { kind, ring, id, spans, held } = message;
      const consents = consentsToWire(message.consents);
      return { kind, ring, id, part: spansToWire(spans), consents, held: held.map(addressBytes) };
    }
    case "keep":
      return {
        kind: "keep",
        addresses: message.addresses.map(addressBytes),
        former: message.former === undefined ? null : [message.former[0], message.former[1]],
      };
    case "kept":
      return { kind: "kept", held: message.held.map(({ address, ident }) => [addressBytes(address), ident]) };
    case "need":
    case "hint":
      return message;
  }
}

/**
 * Converts the body of a message from a peer with the same range.
 *
 * @param range the range of both peers
 * @throws WEAVE_MESSAGE_MALFORMED when spans are out of order or intervals lie outside the range
 */
export function fromWire(body: WireBody, range: Interval): IpamMessage {
  switch (body.kind) {
    case "digest":
      return { kind: "digest", ring: body.ring ?? undefined, stand: body.stand ?? undefined };
    case "ring":
      return { kind: "ring", ask: body.ask, stands: body.stands, ...ringFromWire(body, range) };
    case "news":
    case "titles": {
      const { kind, ring, part } = body;
      const spans = kind === "news" ? spansFromWire(part, range) : deedsFromWire(part, range);
      return { kind, ring, spans, consents: consentsFromWire(body.consents) };
    }
    case "title":
      return { kind: "title", ring: body.ring, spans: spansFromWire(body.part, range) };
    case "election":
      return { kind: "election", votes: votesFromWire(body.votes) };
    case "request":
      return { kind: "request", bounds: intervalFromWire(body.bounds, range) };
    case "denied":
      return { kind: "denied", bounds: intervalFromWire(body.bounds, range), free: body.free };
    case "agree":
    case "confirm": {
      const { kind, ring, id, part } = body;
      return { kind, ring, id, spans: spansFromWire(part, range) };
    }
    case "confirmed": {
      const { kind, ring, id, agreed, part, held } = body;
      return { kind, ring, id, agreed, spans: deedsFromWire(part, range), held: held.map(addressFromBytes) };
    }
    case "agreed": {
      const { kind, ring, id, part, held } = body;
      const consents = consentsFromWire(body.consents);
      return { kind, ring, id, spans: deedsFromWire(part, range), consents, held: held.map(addressFromBytes) };
    }
    case "keep":
      return { kind: "keep", addresses: body.addresses.map(addressFromBytes), former: body.former ?? undefined };
    case "kept":
      return {
        kind: "kept",
        held: body.held.map(([bytes, ident]) => ({ address: addressFromBytes(bytes), ident })),
      };
    case "need":
    case "hint":
      return body;
  }
}

type WireConsents = z.infer<typeof consents>;

const consentsToWire = (all: readonly Consent[]): WireConsents =>
  all
    .slice(0, MAX_CONSENTS)
    .map(({ owner, from, since, agreed }) => [owner, from, since, agreed.map(([peer, bytes]) => [peer, bytes])]);

const consentsFromWire = (wire: WireConsents): Consent[] =>
  wire.map(([owner, from, since, agreed]) => ({ owner, from, since, agreed }));

/**
 * Returns the highest counter of a message that decides between two versions of a fact. Counters are never reduced, and their owner
 * must be able to exceed them: a receiver must check that they are plausible.
 */
export function highestCounter(message: IpamMessage): number {
  let highest = 0;
  const include = (count: number) => {
    highest = Math.max(highest, count);
  };
  if ("spans" in message) {
    for (const { value } of message.spans) {
      include(value.epoch);
      include(value.version);
    }
  } else if (message.kind === "election") {
    for (const { promised, accepted } of message.votes.values()) {
      include(promised.round);
      include(accepted?.ballot.round ?? 0);
    }
  } else if (message.kind === "hint") include(message.version);
  return highest;
}
