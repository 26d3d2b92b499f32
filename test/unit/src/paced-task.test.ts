import assert from "node:assert/strict";
import { test } from "node:test";
import { PacedTask } from "#src/paced-task.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

test("requests that come together run the task once, and the next run waits for the interval", async () => {
  const clock = new VirtualClock();
  const runs: number[] = [];
  const task = new PacedTask(
    clock,
    10,
    () => 100,
    () => runs.push(clock.now()),
  );
  for (let i = 0; i < 3; i++) task.request();
  await clock.run(50);
  task.request();
  await clock.run(500);
  task.request();
  await clock.run(5);
  task.cancel();
  await clock.run(500);
  assert.deepEqual(runs, [10, 110]);
});
