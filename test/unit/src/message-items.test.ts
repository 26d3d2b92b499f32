import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeIpamMessage } from "#ipam/wire/ipam-message.js";
import { decodeMessage, encodeMessage, MAX_NOTICES } from "#mesh/messages.js";
import { encode } from "#src/codec.js";
import { hasMoreItems } from "#src/message-items.js";

/** The number of values within a value, itself and keys counted. */
function itemsOf(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + itemsOf(each), 1);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return 1;
  return Object.values(value).reduce((sum: number, each) => sum + 1 + itemsOf(each), 1);
}

const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.double(),
  fc.string({ maxLength: 300 }),
  fc.uint8Array({ maxLength: 70_000 }).map((bytes) => Buffer.from(bytes)),
);
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("value"), { maxLength: 40 }),
    fc.dictionary(fc.string({ maxLength: 40 }), tie("value"), { maxKeys: 40 }),
  ),
}));

test("the number of values is known without decoding them", () => {
  fc.assert(
    fc.property(value, (any) => {
      const bytes = encode(any);
      const items = itemsOf(any);
      assert.equal(hasMoreItems(bytes, items), false);
      assert.equal(hasMoreItems(bytes, items - 1), true);
    }),
    { numRuns: 300 },
  );
});

test("any bytes have an answer, and a claim of many values is enough", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => typeof hasMoreItems(bytes, 100) === "boolean"));
  for (const claim of [
    [0xdd, 255, 255, 255, 255],
    [0xdf, 0, 1, 0, 0],
    [0x91, 0xdc, 4, 0],
  ])
    assert.equal(hasMoreItems(Uint8Array.from(claim), 1_000), true);
});

test("a peer's message with long lists is rejected before it is decoded; one with all notices is not", () => {
  const names = Array.from({ length: 200_000 }, () => "02:00:00:00:00:01");
  assert.throws(() => decodeMessage(encode({ kind: "gossip", names })), /has more than [\d,]+ values/);
  const notices = Array.from({ length: MAX_NOTICES }, () => new Uint8Array(64));
  const message = { kind: "notices" as const, channel: "topology", notices };
  assert.equal((decodeMessage(encodeMessage(message)) as typeof message).notices.length, MAX_NOTICES);
});

test("a message of allocators with millions of small values is rejected before it is decoded", () => {
  const nothing = Buffer.alloc(9 << 20, 0xc0);
  // A list of 9 million.
  nothing.set([0xdd, 0, 0x90, 0, 0]);
  assert.throws(() => decodeIpamMessage(nothing), /has more than [\d,]+ values/);
});
