import assert from "node:assert/strict";
import { test } from "node:test";
import { releaseUnusedMemory } from "#src/linux/native/heap.js";

const MB = 1 << 20;

test("objects that are in no use any more are gone afterwards, and the process has no gc() for others to call", () => {
  let garbage: number[][] | undefined = Array.from({ length: 50 }, () => Array.from({ length: MB / 8 }, Math.random));
  const before = process.memoryUsage().heapUsed;
  assert.equal(garbage.length, 50);
  garbage = undefined;
  releaseUnusedMemory();
  assert.ok(before - process.memoryUsage().heapUsed > 40 * MB);
  assert.equal("gc" in globalThis, false);
});
