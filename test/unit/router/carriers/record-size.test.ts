import assert from "node:assert/strict";
import { test } from "node:test";
import { RecordSize } from "#router/carriers/sleeve/record-size.js";
import { SAFE_DATAGRAMS } from "#router/datapath/session.js";
import { seededRandom } from "#test/sim/virtual-time.js";

test("records shrink with the loss of datagrams, and grow again when the loss has ended", () => {
  const random = seededRandom(9);
  const run = (size: RecordSize, from: number, seconds: number, loss: number): number => {
    let now = from;
    for (; now < from + seconds * 1_000; now += 500) {
      // 20,000 datagrams in half a second, each lost by chance; a record needs all of its own.
      const expected = Math.floor(20_000 / size.datagrams);
      let accepted = 0;
      for (let i = 0; i < expected; i++) {
        let whole = true;
        for (let n = 0; n < size.datagrams; n++) whole = random.below(100_000) >= loss * 100_000 && whole;
        if (whole) accepted++;
      }
      size.report({ expected, accepted, datagrams: accepted * size.datagrams }, now);
    }
    return now;
  };
  const size = new RecordSize(0);
  assert.equal(size.datagrams, SAFE_DATAGRAMS);
  let now = run(size, 0, 4, 0);
  assert.equal(size.datagrams, 8);
  now = run(size, now, 4, 0.003);
  assert.equal(size.datagrams, 4);
  now = run(size, now, 4, 0.01);
  assert.equal(size.datagrams, 1);
  assert.ok(Math.abs(size.loss - 0.01) < 0.003, String(size.loss));
  now = run(size, now, 15, 0.05);
  assert.ok(Math.abs(size.loss - 0.05) < 0.01, String(size.loss));
  now = run(size, now, 60, 0.0003);
  assert.equal(size.datagrams, 8);
});

test("impossible reports change nothing", () => {
  const size = new RecordSize(0);
  for (const report of [
    { expected: 0, accepted: 0, datagrams: 0 },
    { expected: 10, accepted: 5, datagrams: 2 },
    { expected: 100_000, accepted: 0, datagrams: 100_000 },
  ])
    assert.equal(size.report(report, 1), false);
  // More than were sent: late records of the report before.
  size.report({ expected: 10_000, accepted: 40_000, datagrams: 40_000 }, 2);
  assert.equal(size.loss, 0);
});

test("records that arrive after the report that misses them are not counted as lost", () => {
  const size = new RecordSize(0);
  let now = 0;
  const report = (accepted: number) => {
    now += 500;
    size.report({ expected: 2_000, accepted, datagrams: 4 * accepted }, now);
  };
  for (let i = 0; i < 60; i++) {
    // Thirty were overtaken; they arrive before the next report.
    report(1_970);
    report(2_030);
    assert.ok(size.loss < 0.0001, `${size.loss} at ${now} ms`);
  }
  assert.equal(size.datagrams, 8);
  for (let i = 0; i < 60; i++) report(1_970);
  assert.ok(Math.abs(size.loss - 0.00375) < 0.0003, `${size.loss} for records that never came`);
});
