import * as z from "zod/mini";
import type { Interval } from "#ipam/ring/interval.js";
import { CAUSES, type Genesis, type Ownership, type Span } from "#ipam/ring/ring.js";
import { addressBytes, addressFromBytes } from "#ipam/ring/subnet.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";

/** Maximum number of spans in a message: far more than any valid ring has, and a few megabytes. */
export const MAX_SPANS = 100_000;

/** An IPv4 address on the wire: 4 bytes, big-endian. */
export const addressShape = z
  .instanceof(Uint8Array<ArrayBufferLike>)
  .check(z.refine((bytes) => (bytes as Uint8Array).length === 4));
/** An interval on the wire: first and last address. (The exclusive end of 0.0.0.0/0 does not fit into 4 bytes.) */
export const intervalShape = z.tuple([addressShape, addressShape]);
const peersShape = z.array(peerNameShape).check(z.maxLength(MAX_PEERS));
export const genesisShape = z.object({ peers: peersShape.check(z.minLength(1)), at: countShape });
/** A span on the wire: first, last, index of owner, epoch, version, pending, since, index of cause, index of previous owner or -1. */
const spanShape = z.tuple([
  addressShape,
  addressShape,
  countShape,
  countShape,
  countShape,
  z.boolean(),
  countShape,
  z.number().check(z.int(), z.gte(0), z.lt(CAUSES.length)),
  z.number().check(z.int(), z.gte(-1)),
]);
/** Spans on the wire, and the peers that they refer to by index. */
export const spansShape = z.object({ peers: peersShape, spans: z.array(spanShape).check(z.maxLength(MAX_SPANS)) });
/** A whole ring on the wire and on disk. */
export const ringShape = z.object({ genesis: genesisShape, part: spansShape });

type WireSpans = z.infer<typeof spansShape>;
type WireRing = z.infer<typeof ringShape>;
type WireInterval = z.infer<typeof intervalShape>;

export function intervalToWire({ start, end }: Interval): WireInterval {
  return [addressBytes(start), addressBytes(end - 1n)];
}

/** The inverse of {@link intervalToWire}. @throws WEAVE_MESSAGE_MALFORMED when it is empty or outside the range */
export function intervalFromWire([first, last]: Readonly<WireInterval>, range: Interval): Interval {
  const [start, end] = [addressFromBytes(first), addressFromBytes(last) + 1n];
  if (start >= end || start < range.start || end > range.end)
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM message names addresses that are outside the range");
  return { start, end };
}

export function ringToWire(genesis: Genesis, spans: readonly Span[]): WireRing {
  return { genesis: { peers: [...genesis.peers], at: genesis.at }, part: spansToWire(spans) };
}

/** The inverse of {@link ringToWire}. @throws WEAVE_MESSAGE_MALFORMED when spans are out of order or outside the range */
export function ringFromWire(wire: WireRing, range: Interval): { genesis: Genesis; spans: Span[] } {
  return { genesis: wire.genesis, spans: spansFromWire(wire.part, range) };
}

/** Converts spans for the wire: each peer name is written once, and spans refer to it by index. */
export function spansToWire(spans: readonly Span[]): WireSpans {
  const indexes = new Map<PeerName, number>();
  const indexOf = (peer: PeerName): number => {
    const index = indexes.get(peer) ?? indexes.size;
    indexes.set(peer, index);
    return index;
  };
  const rows = spans.map((each): WireSpans["spans"][number] => {
    const { owner, epoch, version, pending, since, cause, from } = each.value;
    const [start, last] = intervalToWire(each);
    const previous = from === undefined ? -1 : indexOf(from);
    return [start, last, indexOf(owner), epoch, version, pending, since, CAUSES.indexOf(cause), previous];
  });
  return { peers: [...indexes.keys()], spans: rows };
}

/** The inverse of {@link spansToWire}. @throws WEAVE_MESSAGE_MALFORMED when spans are out of order or outside the range */
export function spansFromWire(wire: WireSpans, range: Interval): Span[] {
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
