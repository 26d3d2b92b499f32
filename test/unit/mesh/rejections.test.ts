import assert from "node:assert/strict";
import { test } from "node:test";
import { Rejections } from "#mesh/rejections.js";
import { parseMac } from "#src/mac.js";

const nameOf = (i: number) => parseMac(`::${(i >> 8) + 1}:${(i & 255).toString(16)}`);

test("rejections are counted by reason and neighbour; harmless ones are apart from those that name a culprit", () => {
  const rejections = new Rejections(["forged", "late"], ["late"]);
  rejections.add("late", nameOf(1));
  rejections.add("forged", nameOf(2), 3);
  rejections.add("late", nameOf(2));
  assert.deepEqual(rejections.counts, { forged: 3, late: 2 });
  assert.deepEqual(rejections.harmful, [{ reason: "forged", count: 3 }]);
  assert.equal(rejections.total, 3);
  assert.deepEqual(rejections.culprits(), [{ neighbour: nameOf(2), counts: [{ reason: "forged", count: 3 }] }]);
  assert.deepEqual(rejections.byNeighbour.get(nameOf(1)), { forged: 0, late: 1 });
});

test("invented neighbours displace each other, and no count is lost", () => {
  const rejections = new Rejections(["forged"]);
  for (let i = 0; i < 3_000; i++) {
    rejections.add("forged", nameOf(0));
    rejections.add("forged", nameOf(i + 1));
  }
  assert.equal(rejections.total, 6_000);
  assert.ok(rejections.byNeighbour.size <= 1_024);
  assert.equal(rejections.byNeighbour.get(nameOf(0))?.forged, 3_000);
});
