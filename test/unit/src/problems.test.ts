import assert from "node:assert/strict";
import { test } from "node:test";
import { Problems } from "#src/problems.js";

test("a problem is one bounded line for each key, until its part clears it", () => {
  const problems = new Problems();
  problems.set("log", "cannot be written:\n ENOSPC");
  problems.set("bridge", "x".repeat(10_000));
  problems.set("log", "cannot be written: EIO");
  assert.deepEqual(problems.list(), ["cannot be written: EIO", "x".repeat(512)]);
  problems.clear("bridge");
  problems.clear("nothing such");
  assert.deepEqual(problems.list(), ["cannot be written: EIO"]);
});
