import assert from "node:assert/strict";
import { test } from "node:test";
import { microseconds } from "#test/bench/control-group.js";
import {
  foreignCores,
  othersSeconds,
  type ProcessTimes,
  processTimes,
  stolenSeconds,
} from "#test/bench/machine-load.js";

const process = (own: number, ended = 0, parent = 1): ProcessTimes => ({ parent, own, ended });

test("times of a process are of all its threads and of its ended children, whatever its name", () => {
  const stat = "14 (a) S 2 (b) R 7 0 0 0 -1 69238848 0 0 0 0 25 75 100 50 20 0 1 0 0 0 0";
  assert.deepEqual(processTimes(stat), { parent: 7, own: 1, ended: 1.5 });
});

test("the hypervisor's time is the eighth of all processors", () => {
  assert.equal(stolenSeconds("cpu  100 20 300 4000 500 6 70 800 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n"), 8);
});

test("others are those that ran on, those that began, and those that began and ended", () => {
  const before = new Map([
    [10, process(5)],
    [11, process(1, 2)],
  ]);
  const after = new Map([
    [10, process(6)],
    // A child of 0.25 s has ended.
    [11, process(1, 2.25)],
    [12, process(0.5)],
  ]);
  assert.equal(othersSeconds(before, after), 1.75);
});

test("of a process that ended only the time since the first sample counts", () => {
  const before = new Map([
    [10, process(1)],
    [20, process(60, 3, 10)],
  ]);
  // It used one second more; its parent has all of it now.
  assert.equal(othersSeconds(before, new Map([[10, process(1, 64)]])), 1);
  // A parent that ignores its children gets nothing.
  assert.equal(othersSeconds(before, new Map([[10, process(1)]])), 0);
});

test("foreign load is that of others and of the hypervisor, in cores", () => {
  const before = { others: new Map([[10, process(5)]]), kernel: 1, stolen: 1 };
  const after = { others: new Map([[10, process(7)]]), kernel: 9, stolen: 1.5 };
  assert.equal(foreignCores(before, after, 2), 1.25);
});

test("the time of a group is that of its cpu.stat", () => {
  assert.equal(microseconds("usage_usec 501500\nuser_usec 463455\nsystem_usec 38044\n"), 501_500);
  assert.throws(() => microseconds("nr_periods 0\n"), /without usage_usec/);
});
