import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { KeyedQueue } from "#src/keyed-queue.js";

test("tasks of one key run one after another in their order, also after one that fails; other keys do not wait", async () => {
  const queue = new KeyedQueue();
  const events: string[] = [];
  const task =
    (name: string, work: () => Promise<unknown>, fails = false) =>
    async () => {
      events.push(`${name} begins`);
      await work();
      events.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const short = () => sleep(1);
  // a1 lasts until b1 has ended, which therefore cannot wait for a1.
  let b1: Promise<unknown> = Promise.resolve();
  const a1 = queue.run(
    "a",
    task("a1", () => b1, true),
  );
  const a2 = queue.run("a", task("a2", short));
  b1 = queue.run("b", task("b1", short));
  const results = await Promise.allSettled([a1, a2, b1]);
  assert.deepEqual(
    results.map((result) => (result.status === "fulfilled" ? result.value : result.reason.message)),
    ["a1", "a2", "b1"],
  );
  assert.deepEqual(events, ["a1 begins", "b1 begins", "b1 ends", "a1 ends", "a2 begins", "a2 ends"]);
  await sleep(0);
  assert.equal(queue.size, 0, "a key without tasks takes no memory");
});

test("a task whose signal is aborted before its turn never begins", async () => {
  const queue = new KeyedQueue();
  const stop = new AbortController();
  const first = queue.run("a", () => sleep(20));
  let began = false;
  const second = queue.run(
    "a",
    async () => {
      began = true;
    },
    stop.signal,
    () => new Error("gone away"),
  );
  let firstEnded = false;
  void first.then(() => {
    firstEnded = true;
  });
  stop.abort();
  await assert.rejects(second, { message: "gone away" });
  assert.ok(!firstEnded, "it does not wait for the turn that it gave up");
  const third = queue.run("a", async () => firstEnded);
  assert.equal(await third, true, "the next one still waits for the first");
  assert.ok(!began);
});

test("a signal that is aborted before the call rejects immediately, without the end of earlier tasks", async () => {
  const queue = new KeyedQueue();
  let finish = () => {};
  const first = queue.run("a", () => new Promise<void>((resolve) => (finish = resolve)));
  const never = async () => assert.fail("the task began");
  await assert.rejects(
    queue.run("a", never, AbortSignal.abort(), () => new Error("gone away")),
    { message: "gone away" },
  );
  finish();
  await first;
});
