import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Backoff } from "#src/backoff.js";
import { pause } from "#src/clock.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

test("delays grow by the factor up to the last one; a reset begins with the first", () => {
  const backoff = new Backoff({ firstMs: 100, factor: 2, lastMs: 500, spread: 0 }, seededRandom(1));
  const delays = () => Array.from({ length: 5 }, () => backoff.next());
  assert.deepEqual(delays(), [100, 200, 400, 500, 500]);
  backoff.reset();
  assert.deepEqual(delays(), [100, 200, 400, 500, 500]);
});

test("a spread moves each delay by at most its share, both ways, and does not accumulate", () => {
  const policy = { firstMs: 2_000, factor: 1.5, lastMs: 360_000, spread: 0.5 };
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const backoff = new Backoff(policy, seededRandom(seed));
      const shares = Array.from({ length: 25 }, (_, i) => backoff.next() / Math.min(360_000, 2_000 * 1.5 ** i));
      assert.ok(shares.every((share) => share >= 0.5 && share < 1.5));
      assert.ok(Math.min(...shares) < 1 && Math.max(...shares) > 1);
    }),
  );
});

test("a pause ends with its time or when it is aborted, and leaves no listener behind", async () => {
  const clock = new VirtualClock();
  const abort = new AbortController();
  const ended: string[] = [];
  void pause(clock, 1_000, abort.signal).then(() => ended.push("first"));
  void pause(clock, 5_000, abort.signal).then(() => ended.push("second"));
  await clock.run(999);
  assert.deepEqual(ended, []);
  await clock.run(1);
  assert.deepEqual(ended, ["first"]);
  abort.abort();
  await clock.run(0);
  assert.deepEqual(ended, ["first", "second"]);
  await pause(clock, 1_000, abort.signal);
});
