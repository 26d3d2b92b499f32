import * as z from "zod/mini";
import type { Interval } from "#ipam/ring/interval.js";
import { CAUSES, type Deed, type Genesis, type Span } from "#ipam/ring/ring.js";
import { addressBytes, addressFromBytes } from "#ipam/ring/subnet.js";
import { countShape, MAX_PEERS, type PeerName, peerNameShape } from "#mesh/peer.js";
import { signatureShape } from "#mesh/signing.js";
import { WeaveError } from "#src/errors.js";
import { toHex } from "#src/text.js";

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
const IDENTITY_BYTES = 32;

const bytesOf = (count: number) =>
  z.instanceof(Uint8Array<ArrayBufferLike>).check(z.refine((bytes) => (bytes as Uint8Array).length === count));

/**
 * A span on the wire: first, last, index of owner, epoch, version, pending, since, index of cause, index of previous owner or -1, index
 * of the deed or -1.
 */
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
  z._default(z.number().check(z.int(), z.gte(-1)), -1),
]);
/** A deed on the wire: first, last, index of the signer, index of its identity, signature. */
const deedShape = z.tuple([addressShape, addressShape, countShape, countShape, signatureShape]);
/** Spans on the wire, and the peers, identities and deeds that they refer to by index. Databases before deeds have none. */
export const spansShape = z.object({
  peers: peersShape,
  identities: z._default(z.array(bytesOf(IDENTITY_BYTES)).check(z.maxLength(MAX_PEERS)), []),
  deeds: z._default(z.array(deedShape).check(z.maxLength(MAX_SPANS)), []),
  spans: z.array(spanShape).check(z.maxLength(MAX_SPANS)),
});
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

/** The texts and objects of a message that are written once, and referred to by index. */
class Table<T> {
  readonly #indexes = new Map<T, number>();

  indexOf(value: T): number {
    const index = this.#indexes.get(value) ?? this.#indexes.size;
    this.#indexes.set(value, index);
    return index;
  }

  get all(): T[] {
    return [...this.#indexes.keys()];
  }
}

/** Converts spans for the wire: each peer name, identity and deed is written once, and spans refer to it by index. */
export function spansToWire(spans: readonly Span[]): WireSpans {
  const [peers, identities, deeds] = [new Table<PeerName>(), new Table<string>(), new Table<Deed>()];
  const rows = spans.map((each): WireSpans["spans"][number] => {
    const { owner, epoch, version, pending, since, cause, from, deed } = each.value;
    const [start, last] = intervalToWire(each);
    const previous = from === undefined ? -1 : peers.indexOf(from);
    const signed = deed === undefined ? -1 : deeds.indexOf(deed);
    return [start, last, peers.indexOf(owner), epoch, version, pending, since, CAUSES.indexOf(cause), previous, signed];
  });
  const deedRows = deeds.all.map((deed): WireSpans["deeds"][number] => {
    const [start, last] = intervalToWire(deed);
    return [start, last, peers.indexOf(deed.by), identities.indexOf(deed.identity), deed.signature];
  });
  const keys = identities.all.map((identity) => new Uint8Array(Buffer.from(identity, "hex")));
  return { peers: peers.all, identities: keys, deeds: deedRows, spans: rows };
}

const contradiction = () => new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM ring contradicts itself");

/** The inverse of {@link spansToWire}. @throws WEAVE_MESSAGE_MALFORMED when spans are out of order or outside the range */
export function spansFromWire(wire: WireSpans, range: Interval): Span[] {
  const spans = deedsFromWire(wire, range);
  let at = range.start;
  for (const { start, end } of spans) {
    if (start < at) throw contradiction();
    at = end;
  }
  return spans;
}

/** As {@link spansFromWire}, for spans in any order, which may overlap. @throws WEAVE_MESSAGE_MALFORMED */
export function deedsFromWire(wire: WireSpans, range: Interval): Span[] {
  const { peers } = wire;
  const deeds = signaturesFromWire(wire, range);
  return wire.spans.map(([first, last, owner, epoch, version, pending, since, cause, from, signed]): Span => {
    const { start, end } = intervalFromWire([first, last], range);
    if (owner >= peers.length || from >= peers.length || signed >= deeds.length) throw contradiction();
    const deed = deeds[signed];
    if (deed !== undefined && (start < deed.start || end > deed.end)) throw contradiction();
    const value = { owner: peers[owner], epoch, version, pending, since, cause: CAUSES[cause], from: peers[from] };
    return { start, end, value: deed === undefined ? value : { ...value, deed } };
  });
}

function signaturesFromWire({ peers, identities, deeds }: WireSpans, range: Interval): Deed[] {
  return deeds.map(([first, last, by, identity, signature]): Deed => {
    if (by >= peers.length || identity >= identities.length) throw contradiction();
    return {
      ...intervalFromWire([first, last], range),
      by: peers[by],
      identity: toHex(identities[identity]),
      // A copy: the bytes of the message are not kept.
      signature: Uint8Array.from(signature),
    };
  });
}
