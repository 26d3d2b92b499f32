import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod/mini";
import { decode, encode } from "#src/codec.js";
import { collectAll } from "#src/linux/native/heap.js";

const MB = 1 << 20;
const shape = z.object({ payload: z.instanceof(Uint8Array) });

/** Buffers that remain after a collection, in MB. */
async function buffers(): Promise<number> {
  collectAll();
  await sleep(50);
  collectAll();
  return process.memoryUsage().arrayBuffers / MB;
}

test("no long message stays in memory after it was encoded or decoded, be it malformed", async () => {
  encode(1);
  const before = await buffers();
  // In a function of its own: no variable of this one refers to the bytes.
  const lengths = (() => {
    const bytes = encode({ payload: new Uint8Array(9 * MB) });
    const { payload } = decode(shape, bytes, "a message");
    assert.throws(() => decode(shape, bytes.subarray(0, 8 * MB), "a message"), { code: "WEAVE_MESSAGE_MALFORMED" });
    return [bytes.length, payload.length];
  })();
  assert.ok(lengths.every((length) => length >= 9 * MB));
  const after = await buffers();
  assert.ok(after - before < 2, `${before} → ${after} MB`);
  assert.deepEqual(decode(shape, encode({ payload: new Uint8Array(3) }), "a message").payload, Buffer.alloc(3));
});
