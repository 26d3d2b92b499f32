import assert from "node:assert/strict";
import { test } from "node:test";
import { Spin } from "#router/datapath/spin.js";

test("a thread that polls in vain does so rarely, and none while other threads need its core", () => {
  const spin = new Spin();
  const often = (times: number, at: number) =>
    Array.from({ length: times }, () => spin.isWorthwhile(at)).filter(Boolean);
  const vain = (times: number, at: number) => {
    let count = 0;
    for (let i = 0; i < times; i++) {
      if (!spin.isWorthwhile(at)) continue;
      count++;
      spin.failed();
    }
    return count;
  };
  assert.ok(vain(1_000, 0) < 60, "of a thousand packets without a reply");
  // One success is enough for the next ones.
  while (!spin.isWorthwhile(0));
  spin.succeeded();
  assert.equal(often(10, 0).length, 10);
  // Twice as long after each disturbance, until a success.
  assert.equal(spin.isDisturbed(1, 1.002), false);
  const pauseAfter = (at: number) => {
    assert.equal(spin.isDisturbed(at, at + 1), true);
    let until = at + 1;
    while (!spin.isWorthwhile(until)) until++;
    return until - at - 1;
  };
  const pauses = [1_000, 2_000, 3_000, 4_000].map(pauseAfter);
  assert.ok(
    pauses.every((pause, i) => i === 0 || pause === 2 * pauses[i - 1]),
    String(pauses),
  );
  let longest = 0;
  for (let i = 0; i < 20; i++) longest = pauseAfter(10_000 * (i + 1));
  assert.ok(longest <= 2_000, `${longest} ms`);
  spin.succeeded();
  assert.equal(pauseAfter(1e6), pauses[0]);
});
