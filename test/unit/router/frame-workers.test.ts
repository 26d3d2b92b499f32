import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameWorkers } from "#router/datapath/frame-workers.js";
import { allowedOffloads } from "#router/datapath/offloads.js";
import { startWorker } from "#router/datapath/start-worker.js";
import { until } from "#test/lab/wait.js";

test("a thread that was started before the options were known is the first one, and its end is noticed", async () => {
  const failures: Error[] = [];
  const first = startWorker();
  try {
    const { workers, warm } = new FrameWorkers({
      threads: 1,
      cpuMs: 0,
      offloads: allowedOffloads([]),
      nice: 0,
      first,
      onFailure: (error) => failures.push(error),
    });
    assert.deepEqual(await warm, []);
    assert.equal(workers.length, 1);
    await first.terminate();
    await workers[0].exited;
    await until("the failure is reported", () => failures.length === 1);
    assert.match(failures[0].message, /a thread of the frame path ended with status 1/);
  } finally {
    await first.terminate();
  }
});
