import assert from "node:assert/strict";
import { test } from "node:test";
import type { Log } from "#src/log.js";
import { silentLog } from "#src/log.js";
import { Resources } from "#src/resources.js";

function recorder() {
  const lines: { message: string; fields: object | undefined }[] = [];
  const log: Log = { ...silentLog, warn: (message, fields) => lines.push({ message, fields }) };
  return { log, lines };
}

test("resources are released one after another, the last added first", async () => {
  const done: string[] = [];
  const resources = new Resources(silentLog);
  resources.add("store", () => void done.push("store"));
  resources.add("port", async () => {
    done.push("port begins");
    await new Promise((resolve) => setTimeout(resolve, 10));
    done.push("port ends");
  });
  resources.add("mesh", () => void done.push("mesh"));
  await resources.release();
  assert.deepEqual(done, ["mesh", "port begins", "port ends", "store"]);
});

test("a release that throws, rejects or never ends does not prevent the others, and is logged", async () => {
  const { log, lines } = recorder();
  const done: string[] = [];
  const resources = new Resources(log, 20);
  resources.add("first", () => void done.push("first"));
  resources.add("throws", () => {
    throw new Error("thrown");
  });
  resources.add("rejects", () => Promise.reject(new Error("rejected")));
  resources.add("hangs", () => new Promise<void>(() => {}));
  // Without a timer of the test's own: the process must stay for the limit.
  await resources.release();
  assert.deepEqual(done, ["first"]);
  assert.deepEqual(lines, [
    { message: "a resource was not released in time", fields: { resource: "hangs", ms: 20 } },
    { message: "a resource could not be released", fields: { resource: "rejects", why: "rejected" } },
    { message: "a resource could not be released", fields: { resource: "throws", why: "thrown" } },
  ]);
});

test("a resource of addUndo is released after a failed start, and kept after a successful one", async () => {
  const released = async (commit: boolean) => {
    const done: string[] = [];
    const resources = new Resources(silentLog);
    resources.add("store", () => void done.push("store"));
    resources.addUndo("bridge", () => void done.push("bridge"));
    resources.add("tap", () => void done.push("tap"));
    if (commit) resources.commit();
    await resources.release();
    return done;
  };
  assert.deepEqual(await released(false), ["tap", "bridge", "store"]);
  assert.deepEqual(await released(true), ["tap", "store"]);
});

test("each resource is released once; one that is added after the release has begun is released immediately", async () => {
  let count = 0;
  const resources = new Resources(silentLog);
  resources.add("slow", async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    count++;
  });
  const first = resources.release();
  const late: string[] = [];
  resources.add("late", () => void late.push("late"));
  assert.deepEqual(late, ["late"]);
  await Promise.all([first, resources.release()]);
  assert.equal(count, 1);
});

test("the total limit ends the wait, and not the release", async () => {
  const done: string[] = [];
  const resources = new Resources(silentLog);
  resources.add("last", () => void done.push("last"));
  resources.add("slow", () => new Promise((resolve) => setTimeout(resolve, 40)));
  assert.equal(await resources.release(5), false);
  assert.deepEqual(done, []);
  assert.equal(await resources.release(), true);
  assert.deepEqual(done, ["last"]);
});
