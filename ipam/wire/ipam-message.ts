import { z } from "zod/mini";
import type { Ballot, Vote, Votes } from "#ipam/agreement/election.js";
import type { Interval } from "#ipam/ring/interval.js";
import { CAUSES, type Genesis, type Ownership, type Ring, type Span } from "#ipam/ring/ring.js";
import { addressBytes, addressFromBytes } from "#ipam/ring/subnet.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import { decode, encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

/** What allocators say to one another. Each message names the range that its sender allocates from. */
export type Message =
  /** What I have: for new neighbours, and for repair. */
  | { readonly kind: "digest"; readonly ring: RingSummary | undefined }
  /** All that I know. `ask`: send back what I lack. */
  | { readonly kind: "ring"; readonly genesis: Genesis; readonly spans: readonly Span[]; readonly ask: boolean }
  /** What has changed in the ring of that id. */
  | { readonly kind: "news"; readonly ring: string; readonly spans: readonly Span[] }
  | { readonly kind: "election"; readonly votes: Votes }
  /** An observer needs a ring: electors, make one. */
  | { readonly kind: "need" }
  /** Give me addresses in here. */
  | { readonly kind: "request"; readonly bounds: Interval }
  | { readonly kind: "denied"; readonly bounds: Interval; readonly free: number }
  /** About how many addresses the sender has free: whom to ask. */
  | { readonly kind: "hint"; readonly peer: PeerName; readonly version: number; readonly free: number }
  /** I take these over: do you agree, and what of them do your containers hold? */
  | { readonly kind: "agree"; readonly ring: string; readonly id: number; readonly spans: readonly Span[] }
  /** What I know of these spans now, and what my containers hold of them. */
  | {
      readonly kind: "agreed";
      readonly ring: string;
      readonly id: number;
      readonly spans: readonly Span[];
      readonly held: readonly bigint[];
    }
  /** Containers of mine hold addresses that are yours now: leave them to me. */
  | { readonly kind: "keep"; readonly addresses: readonly bigint[] }
  /** These I cannot leave to you: the containers named hold them here. */
  | { readonly kind: "kept"; readonly held: readonly { readonly address: bigint; readonly ident: string }[] };

/** A ring in short. Two that differ are told in full. */
export interface RingSummary {
  /** Of its genesis: number of peers, and time. */
  readonly peers: number;
  readonly at: number;
  readonly digest: string;
}

export function ringSummary(ring: Ring | undefined): RingSummary | undefined {
  return ring && { peers: ring.genesis.peers.length, at: ring.genesis.at, digest: ring.digest };
}

/** Spans of one message: far above any sound ring, and a few megabytes. */
export const MAX_SPANS = 100_000;
const MAX_ADDRESSES = 65_536;

const address = z
  .instanceof(Uint8Array<ArrayBufferLike>)
  .check(z.refine((bytes) => (bytes as Uint8Array).length === 4));
/** The end of a range may be one past the last address: it is written as the last address. */
const interval = z.tuple([address, address]);
const addresses = z.array(address).check(z.maxLength(MAX_ADDRESSES));
const names = z.array(peerNameShape).check(z.maxLength(MAX_PEERS));
const genesis = z.object({ peers: names.check(z.minLength(1)), at: countShape });
const ballot = z.object({ round: countShape, proposer: z.union([peerNameShape, z.literal("")]) });
/** peer, what it promised, what it accepted: a ballot, and the index of its value; or nothing */
const vote = z.tuple([peerNameShape, ballot, z.nullable(z.tuple([ballot, countShape]))]);
/** start, last, owner's index, epoch, version, pending, since, cause's index, previous owner's index or -1 */
const span = z.tuple([
  address,
  address,
  countShape,
  countShape,
  countShape,
  z.boolean(),
  countShape,
  z.number().check(z.int(), z.gte(0), z.lt(CAUSES.length)),
  z.number().check(z.int(), z.gte(-1)),
]);

const partShape = z.object({ peers: names, spans: z.array(span).check(z.maxLength(MAX_SPANS)) });
const hash = z.string().check(z.maxLength(32));
/** A ring on disk. */
export const ringShape = z.object({ genesis, part: partShape });
/** What was said in an election, on disk and on the wire. Many have accepted the same value: it is written once. */
export const votesShape = z.object({
  values: z.array(genesis).check(z.maxLength(MAX_PEERS)),
  votes: z.array(vote).check(z.maxLength(MAX_PEERS)),
});

const bodyShape = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("digest"),
    ring: z.nullable(z.object({ peers: countShape, at: countShape, digest: hash })),
  }),
  z.object({ kind: z.literal("ring"), genesis, part: partShape, ask: z.boolean() }),
  z.object({ kind: z.literal("news"), ring: hash, part: partShape }),
  z.object({ kind: z.literal("election"), votes: votesShape }),
  z.object({ kind: z.literal("need") }),
  z.object({ kind: z.literal("request"), bounds: interval }),
  z.object({ kind: z.literal("denied"), bounds: interval, free: countShape }),
  z.object({ kind: z.literal("hint"), peer: peerNameShape, version: countShape, free: countShape }),
  z.object({ kind: z.literal("agree"), ring: hash, id: countShape, part: partShape }),
  z.object({ kind: z.literal("agreed"), ring: hash, id: countShape, part: partShape, held: addresses }),
  z.object({ kind: z.literal("keep"), addresses }),
  z.object({
    kind: z.literal("kept"),
    held: z.array(z.tuple([address, z.string().check(z.maxLength(255))])).check(z.maxLength(MAX_ADDRESSES)),
  }),
]);

const shape = z.object({ range: z.string().check(z.maxLength(18)), body: bodyShape });
type WireBody = z.infer<typeof bodyShape>;

type WirePart = z.infer<typeof partShape>;
type Bytes = z.infer<typeof address>;

/** @param range the sender's, as text */
export function encodeMessage(range: string, message: Message): Uint8Array {
  return encode({ range, body: toWire(message) });
}

/** @throws WEAVE_MESSAGE_MALFORMED */
export function decodeMessage(bytes: Uint8Array): { range: string; body: WireBody } {
  return decode(shape, bytes, "an IPAM message");
}

function toWire(message: Message): WireBody {
  switch (message.kind) {
    case "digest":
      return { kind: "digest", ring: message.ring ?? null };
    case "ring":
      return { kind: "ring", ask: message.ask, ...ringToWire(message.genesis, message.spans) };
    case "news":
      return { kind: "news", ring: message.ring, part: partToWire(message.spans) };
    case "election":
      return { kind: "election", votes: votesToWire(message.votes) };
    case "request":
      return { kind: "request", bounds: intervalToWire(message.bounds) };
    case "denied":
      return { ...message, bounds: intervalToWire(message.bounds) };
    case "agree": {
      const { kind, ring, id, spans } = message;
      return { kind, ring, id, part: partToWire(spans) };
    }
    case "agreed": {
      const { kind, ring, id, spans, held } = message;
      return { kind, ring, id, part: partToWire(spans), held: held.map(addressBytes) };
    }
    case "keep":
      return { kind: "keep", addresses: message.addresses.map(addressBytes) };
    case "kept":
      return { kind: "kept", held: message.held.map(({ address, ident }) => [addressBytes(address), ident]) };
    case "need":
    case "hint":
      return message;
  }
}

/**
 * A message of a peer with the same range as ours. @param range ours
 *
 * @throws WEAVE_MESSAGE_MALFORMED when spans are out of order or intervals lie outside the range
 */
export function fromWire(body: WireBody, range: Interval): Message {
  switch (body.kind) {
    case "digest":
      return { kind: "digest", ring: body.ring ?? undefined };
    case "ring":
      return { kind: "ring", ask: body.ask, ...ringFromWire(body, range) };
    case "news":
      return { kind: "news", ring: body.ring, spans: partFromWire(body.part, range) };
    case "election":
      return { kind: "election", votes: votesFromWire(body.votes) };
    case "request":
      return { kind: "request", bounds: intervalFromWire(body.bounds, range) };
    case "denied":
      return { kind: "denied", bounds: intervalFromWire(body.bounds, range), free: body.free };
    case "agree": {
      const { kind, ring, id, part } = body;
      return { kind, ring, id, spans: partFromWire(part, range) };
    }
    case "agreed": {
      const { kind, ring, id, part, held } = body;
      return { kind, ring, id, spans: partFromWire(part, range), held: held.map(addressFromBytes) };
    }
    case "keep":
      return { kind: "keep", addresses: body.addresses.map(addressFromBytes) };
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

/**
 * The highest of the counters in a message that decide between two claims. Others may exceed them, and never take them
 * back: so they must be believable.
 */
export function highestCounter(message: Message): number {
  let highest = 0;
  const see = (count: number) => {
    highest = Math.max(highest, count);
  };
  if ("spans" in message) {
    for (const { value } of message.spans) {
      see(value.epoch);
      see(value.version);
    }
  } else if (message.kind === "election") {
    for (const { promised, accepted } of message.votes.values()) {
      see(promised.round);
      see(accepted?.ballot.round ?? 0);
    }
  } else if (message.kind === "hint") see(message.version);
  return highest;
}

// ── Parts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function intervalToWire({ start, end }: Interval): [Bytes, Bytes] {
  return [addressBytes(start), addressBytes(end - 1n)];
}

function intervalFromWire([first, last]: readonly [Bytes, Bytes], range: Interval): Interval {
  const [start, end] = [addressFromBytes(first), addressFromBytes(last) + 1n];
  if (start >= end || start < range.start || end > range.end)
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM message names addresses that are outside the range");
  return { start, end };
}

export function ringToWire(genesis: Genesis, spans: readonly Span[]): z.infer<typeof ringShape> {
  return { genesis: { peers: [...genesis.peers], at: genesis.at }, part: partToWire(spans) };
}

/** @throws WEAVE_MESSAGE_MALFORMED when it makes no sense within the range */
export function ringFromWire(wire: z.infer<typeof ringShape>, range: Interval): { genesis: Genesis; spans: Span[] } {
  return { genesis: wire.genesis, spans: partFromWire(wire.part, range) };
}

/** Names are written once; spans refer to them by index. */
function partToWire(spans: readonly Span[]): WirePart {
  const indexes = new Map<PeerName, number>();
  const indexOf = (peer: PeerName): number => {
    const index = indexes.get(peer) ?? indexes.size;
    indexes.set(peer, index);
    return index;
  };
  const rows = spans.map((each): WirePart["spans"][number] => {
    const { owner, epoch, version, pending, since, cause, from } = each.value;
    const [start, last] = intervalToWire(each);
    const previous = from === undefined ? -1 : indexOf(from);
    return [start, last, indexOf(owner), epoch, version, pending, since, CAUSES.indexOf(cause), previous];
  });
  return { peers: [...indexes.keys()], spans: rows };
}

function partFromWire(wire: WirePart, range: Interval): Span[] {
  let at = range.start;
  return wire.spans.map(([first, last, owner, epoch, version, pending, since, cause, from]): Span => {
    const { start, end } = intervalFromWire([first, last], range);
    if (start < at || owner >= wire.peers.length || from >= wire.peers.length)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM ring contradicts itself");
    at = end;
    const value: Ownership = {
      owner: wire.peers[owner],
      epoch,
      version,
      pending,
      since,
      cause: CAUSES[cause],
      from: from === -1 ? undefined : wire.peers[from],
    };
    return { start, end, value };
  });
}

export function votesToWire(votes: Votes): z.infer<typeof votesShape> {
  const plain = ({ round, proposer }: Ballot) => ({ round, proposer });
  const values: { peers: PeerName[]; at: number }[] = [];
  const indexes = new Map<string, number>();
  const indexOf = ({ ballot: { round, proposer }, value }: NonNullable<Vote["accepted"]>): number => {
    const key = `${round} ${proposer}`;
    const index = indexes.get(key) ?? values.push({ peers: [...value.peers], at: value.at }) - 1;
    indexes.set(key, index);
    return index;
  };
  const rows = [...votes].map(
    ([peer, { promised, accepted }]): z.infer<typeof vote> => [
      peer,
      plain(promised),
      accepted === undefined ? null : [plain(accepted.ballot), indexOf(accepted)],
    ],
  );
  return { values, votes: rows };
}

/** @throws WEAVE_MESSAGE_MALFORMED */
export function votesFromWire({ values, votes }: z.infer<typeof votesShape>): Votes {
  return new Map(
    votes.map(([peer, promised, accepted]): [PeerName, Vote] => {
      if (accepted === null) return [peer, { promised, accepted: undefined }];
      const value = values[accepted[1]];
      if (value === undefined)
        throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an election's votes contradict themselves");
      return [peer, { promised, accepted: { ballot: accepted[0], value } }];
    }),
  );
}
