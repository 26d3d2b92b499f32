import * as z from "zod/mini";
import { encodeReplicaMessage, type StateMessage } from "#mesh/replica/replica-message.js";
import { decode, encode } from "#src/codec.js";
import type { Random } from "#src/random.js";
import { nameOf, signerOf, stateOf, WORDS } from "#test/unit/mesh/replica/words.js";

/** What a hostile member of the network can send into a replicated set: valid messages of each kind, and changes of them. */

/** Valid messages of every kind, about the origins of these numbers, of which only `own` is the sender's. */
export function validMessages(own: number, origins: readonly number[], incarnation: number): Uint8Array[] {
  const words = (count: number) => Array.from({ length: count }, (_, i) => ({ word: `evil ${i}` }));
  const states: StateMessage[] = [];
  for (const signer of [own, ...origins])
    for (const version of [1, 3, 2 ** 47])
      states.push(
        stateOf(WORDS, signer, { incarnation, version, fields: words(version === 3 ? 3 : 1), signer: signerOf(own) }),
      );
  const [first] = states;
  const head = { ...first, hash: new Uint8Array(32) };
  const rows = origins.map((index) => ({ origin: nameOf(index), incarnation, version: 2 ** 48 - 2 }));
  const part = { number: 0, isLast: false, hash: new Uint8Array(32) };
  return [
    ...states.map((state) => encodeReplicaMessage({ kind: "states", states: [state] })),
    encodeReplicaMessage({
      kind: "states",
      states: [
        { ...first, part },
        { ...first, since: 1, version: 2, records: [] },
      ],
    }),
    encodeReplicaMessage({ kind: "digest", digest: new Uint8Array(16) }),
    encodeReplicaMessage({ kind: "buckets", digests: new Uint8Array(128) }),
    encodeReplicaMessage({
      kind: "summary",
      mask: 2 ** 32 - 1,
      first: nameOf(0),
      last: nameOf(65_535),
      entries: rows.map((row) => ({ ...row, mark: new Uint8Array(4) })),
    }),
    encodeReplicaMessage({ kind: "want", origins: rows }),
    encodeReplicaMessage({
      kind: "relayed",
      token: new Uint8Array(8),
      echo: new Uint8Array(8),
      message: { kind: "want", origins: rows },
    }),
    encodeReplicaMessage({ kind: "have", origins: rows }),
    encodeReplicaMessage({
      kind: "proof",
      proof: { first: head, second: { ...head, hash: new Uint8Array(32).fill(1) } },
    }),
  ];
}

const EXTREMES: readonly unknown[] = [
  ...[0, -1, 1, 0.5, 2 ** 31, 2 ** 32, 2 ** 47, 2 ** 48 - 1, 2 ** 48, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY],
  ...["", "x", "\u0000", [], [[]], {}, null, true, new Uint8Array(0), new Uint8Array(6), new Uint8Array(64)],
];

/** Changes one value of a message to an extreme one, or some of its bytes, or cuts it. */
export function changed(message: Uint8Array, random: Random): Uint8Array {
  switch (random.below(4)) {
    case 0:
      return message.subarray(0, random.below(message.length));
    case 1: {
      const bytes = Uint8Array.from(message);
      for (let i = random.below(4); i >= 0; i--) bytes[random.below(bytes.length)] = random.below(256);
      return bytes;
    }
    default: {
      const list = decode(z.array(z.unknown()), message, "a message");
      return encode(replaced(list, random));
    }
  }
}

function replaced(value: unknown, random: Random): unknown {
  if (Array.isArray(value) && value.length > 0 && random.below(5) > 0) {
    const at = random.below(value.length);
    return value.map((each, i) => (i === at ? replaced(each, random) : each));
  }
  if (value instanceof Uint8Array && value.length > 0 && random.below(2) === 0) {
    const bytes = Uint8Array.from(value);
    bytes[random.below(bytes.length)] ^= 1 + random.below(255);
    return bytes;
  }
  return EXTREMES[random.below(EXTREMES.length)];
}
