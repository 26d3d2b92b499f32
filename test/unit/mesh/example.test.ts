import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

const program = new URL("../../../examples/mesh.js", import.meta.url).pathname;

test("the example of mesh/ as a library: two peers connect, and gossip passes both ways", async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program], { timeout: 20_000 });
  assert.equal(stderr, "");
  assert.deepEqual(stdout.trim().split("\n"), [
    "02:00:00:00:00:02 learns 41 from 02:00:00:00:00:01",
    "02:00:00:00:00:01 learns 42 from 02:00:00:00:00:02",
  ]);
});
