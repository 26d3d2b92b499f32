import assert from "node:assert/strict";
import { test } from "node:test";
import { type Comparison, Comparisons, LEAST_MS, MOST_MS } from "#src/linux/vxlan/comparisons.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

/** Comparisons that end as `end` says, with the times at which they began. */
function recorded(end: (clock: VirtualClock) => Promise<Comparison>) {
  const clock = new VirtualClock();
  const times: number[] = [];
  const comparisons = new Comparisons(clock, () => {
    times.push(clock.now());
    return end(clock);
  });
  return { clock, times, comparisons };
}

test("any number of requests are one comparison at a time, with intervals that grow to their maximum", async () => {
  let running = 0;
  const { clock, times, comparisons } = recorded(async (at) => {
    assert.equal(++running, 1);
    await new Promise<void>((resolve) => void at.after(300, resolve));
    running--;
    return "compared";
  });
  for (let i = 0; i < 20_000; i++) {
    comparisons.request();
    if (i % 4 === 0) await clock.run(50);
  }
  const gaps = times.slice(1).map((time, i) => time - times[i] - 300);
  assert.deepEqual(gaps.slice(0, 7), [1_000, 2_000, 4_000, 8_000, 16_000, MOST_MS, MOST_MS]);
  assert.ok(times.length < 14, `${times.length} comparisons in 250 s`);
  // The last request is served, and nothing after it.
  await clock.run(MOST_MS + 1_000);
  const { length } = times;
  await clock.run(10 * MOST_MS);
  assert.equal(times.length, length);
  // It was quiet: the next one is made at once, and its successor soon.
  const now = clock.now();
  comparisons.request();
  comparisons.request();
  await clock.run(5_000);
  assert.deepEqual(times.slice(length), [now, now + 300 + LEAST_MS]);
});

test("one that fails is repeated, and more rarely each time; one without a bridge soon, as it costs little", async () => {
  const failing = recorded(() => Promise.reject(new Error("no memory")));
  failing.comparisons.request();
  await failing.clock.run(16_000);
  assert.deepEqual(failing.times, [0, 1_000, 3_000, 7_000, 15_000]);
  const absent = recorded(async (clock) => (clock.now() < 60_000 ? "absent" : "compared"));
  absent.comparisons.request();
  await absent.clock.run(120_000);
  assert.equal(absent.times.length, 61);
});

test("none begins after the end", async () => {
  const { clock, times, comparisons } = recorded(async () => "compared");
  comparisons.request();
  comparisons.request();
  comparisons.close();
  await clock.run(MOST_MS);
  comparisons.request();
  await clock.run(MOST_MS);
  assert.deepEqual(times, [0]);
});
