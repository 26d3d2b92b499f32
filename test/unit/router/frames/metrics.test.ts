import assert from "node:assert/strict";
import { test } from "node:test";
import { Tally } from "#router/datapath/protocol.js";
import { type FrameMetricsDeps, frameMetrics } from "#router/frames/metrics.js";
import { Scrape } from "#router/service.js";

/** The samples of a metric of threads with these loads. */
function samples(name: string, loads: Awaited<ReturnType<FrameMetricsDeps["datapath"]["report"]>>) {
  const deps = {
    datapath: { report: async () => loads },
    carriers: { figures: () => new Map() },
    mesh: { status: () => ({ connections: [] }) },
    maxPeers: 10,
  } as unknown as FrameMetricsDeps;
  return frameMetrics(deps)
    .find((metric) => metric.name === name)!
    .read(new Scrape());
}

const BUSY = "weave_datapath_thread_busy_seconds_total";
const WAITING = "weave_datapath_thread_waiting_seconds_total";

test("the times of threads are in seconds; what a kernel does not count has no series, nor has a thread that is silent", async () => {
  const { counters, drops } = new Tally();
  const report = { macs: [], counters, drops, sourceClaims: [], macClaims: [], traffic: [] };
  const loads = [
    { busyMs: 2_500, waitedMs: 500 },
    { busyMs: 10, waitedMs: undefined },
  ];
  const [first, second] = [{ thread: "0" }, { thread: "1" }];
  assert.deepEqual(await samples(BUSY, { ...report, loads }), [
    { labels: first, value: 2.5 },
    { labels: second, value: 0.01 },
  ]);
  assert.deepEqual(await samples(WAITING, { ...report, loads }), [{ labels: first, value: 0.5 }]);
  assert.deepEqual(await samples(BUSY, undefined), []);
});
