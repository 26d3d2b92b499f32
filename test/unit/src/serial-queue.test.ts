import assert from "node:assert/strict";
import { test } from "node:test";
import { SerialQueue } from "#src/serial-queue.js";

test("tasks run one after another, in the order of the calls; one that fails stops none", async () => {
  const queue = new SerialQueue();
  const steps: string[] = [];
  const task =
    (name: string, fails = false) =>
    async () => {
      steps.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      steps.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const done = [queue.run(task("a")), queue.run(task("b", true)), queue.run(task("c"))];
  assert.deepEqual(
    (await Promise.allSettled(done)).map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.deepEqual(steps, ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  assert.equal(await queue.run(task("d")), "d");
});
