import assert from "node:assert/strict";
import { test } from "node:test";
import { limitSize } from "#src/limit-size.js";

test("the entries inserted first are deleted, down to the limit", () => {
  const map = new Map([1, 2, 3, 4].map((key) => [key, "value"]));
  map.set(1, "set again: its place stays");
  limitSize(map, 2);
  assert.deepEqual([...map.keys()], [3, 4]);
  limitSize(map, 2);
  assert.equal(map.size, 2);
});
