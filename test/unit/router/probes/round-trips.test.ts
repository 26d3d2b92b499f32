import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO_ROUND_TRIPS, summaryOf } from "#router/probes/round-trips.js";

test("least, median and most are those of the sorted times; loss is what was not answered", () => {
  const times = fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(times, fc.nat(20), (list, lost) => {
      const sent = list.length + lost;
      const { min, median, max, answered, lossPercent } = summaryOf({ sent, times: list });
      const sorted = [...list].sort((a, b) => a - b);
      assert.deepEqual([min, max, answered], [sorted[0], sorted.at(-1), list.length]);
      assert.ok(sorted.filter((each) => each < median!).length <= list.length / 2);
      assert.ok(sorted.filter((each) => each > median!).length <= list.length / 2);
      assert.ok(Math.abs(lossPercent - (100 * lost) / sent) <= 0.0501);
    }),
  );
});

test("without answers there are no times, without probes no loss", () => {
  assert.deepEqual(summaryOf({ sent: 4, times: [] }).lossPercent, 100);
  assert.deepEqual([summaryOf(NO_ROUND_TRIPS).lossPercent, summaryOf(NO_ROUND_TRIPS).median], [0, undefined]);
  assert.equal(summaryOf({ sent: 2, times: [1, 4] }).median, 2.5);
});
