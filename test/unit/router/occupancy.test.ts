import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { Occupancy } from "#router/datapath/occupancy.js";
import { Spin } from "#router/datapath/spin.js";
import { PollSet, WakeUp } from "#src/linux/native/files.js";
import { threadTimes } from "#src/linux/thread-times.js";

const skip = threadTimes() === undefined ? "this kernel does not count the times of threads" : false;
const LONG_MS = 300;
/** The kernel adds run time at its ticks, at least a hundred a second. */
const TICK_MS = 10;

/** How long some work of this thread takes, and by how much a value grows meanwhile, in milliseconds. */
function during(value: () => number, work: () => void): { took: number; growth: number } {
  const [began, before] = [performance.now(), value()];
  work();
  return { growth: value() - before, took: performance.now() - began };
}

const works = () => {
  for (const until = performance.now() + LONG_MS; performance.now() < until; );
};
const sleeps = () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LONG_MS);

test("a thread that has work is busy all the time, with a core or without; one that sleeps is not", { skip }, () => {
  const occupancy = new Occupancy();
  // Its own clock says nothing here: what is measured is the kernel's count.
  const busy = () => occupancy.read({ workedMs: 0, polledMs: 0 }).busyMs;
  const working = during(busy, works);
  // Interrupts, and what the host of a virtual machine takes, may be left out.
  assert.ok(working.growth > working.took / 2 && working.growth < working.took + 2 * TICK_MS, JSON.stringify(working));
  const sleeping = during(busy, sleeps);
  assert.ok(sleeping.growth < sleeping.took / 2, JSON.stringify(sleeping));
});

test("polling in vain is no work", { skip }, () => {
  const set = new PollSet([new WakeUp().fd]);
  const [spin, occupancy] = [new Spin(), new Occupancy()];
  let polledMs = 0;
  const polls = () => {
    for (const until = performance.now() + LONG_MS; performance.now() < until; spin.succeeded())
      if (spin.wait(set, performance.now())) polledMs += spin.lastMs;
  };
  const { growth, took } = during(() => occupancy.read({ workedMs: 0, polledMs }).busyMs, polls);
  assert.ok(polledMs > 0);
  // Where others use the core there are few polls, and the rest is the work of this loop.
  assert.ok(growth < took - polledMs + 2 * TICK_MS, JSON.stringify({ growth, took, polledMs }));
});

test("no value ever falls, and the load is no less than either count", () => {
  const times = { ran: fc.nat(10), waited: fc.nat(10), polled: fc.nat(30), worked: fc.nat(20) };
  fc.assert(
    fc.property(fc.array(fc.record({ ...times, counts: fc.boolean() })), (steps) => {
      let [ranMs, waitedMs, polledMs, workedMs] = [1, 0, 0, 0];
      let counts = true;
      const occupancy = new Occupancy(() => (counts ? { ranMs, waitedMs } : undefined));
      let last = occupancy.read({ workedMs, polledMs });
      for (const step of steps) {
        ranMs += step.ran;
        waitedMs += step.waited;
        polledMs += step.polled;
        workedMs += step.worked;
        counts = step.counts;
        const load = occupancy.read({ workedMs, polledMs });
        assert.ok(load.busyMs >= last.busyMs + step.worked);
        assert.equal(load.waitedMs, counts ? waitedMs : undefined);
        if (counts) assert.ok(load.busyMs >= ranMs + waitedMs - polledMs);
        last = load;
      }
    }),
  );
});

test("the load of an interval is the larger count of it", () => {
  let times = { ranMs: 100, waitedMs: 0 };
  const occupancy = new Occupancy(() => times);
  const { busyMs } = occupancy.read({ workedMs: 40, polledMs: 50 });
  assert.equal(busyMs, 50);
  // The kernel sees 30 ms of work and 60 in which the thread waited after it was woken; it has 30 ms by its own clock.
  times = { ranMs: 130, waitedMs: 60 };
  assert.equal(occupancy.read({ workedMs: 70, polledMs: 50 }).busyMs, 140);
  // Interrupts took 60 of 90 ms.
  times = { ranMs: 160, waitedMs: 60 };
  assert.equal(occupancy.read({ workedMs: 160, polledMs: 50 }).busyMs, 230);
});

test("each thread has times of its own, and a thread that has ended has none", { skip }, () => {
  const folders = readdirSync("/proc/self/task").map((id) => `/proc/self/task/${id}`);
  const others = folders.map((folder) => threadTimes(folder)?.ranMs);
  assert.ok(new Set(others).size > 1, String(others));
  assert.equal(threadTimes("/proc/self/task/0"), undefined);
});
