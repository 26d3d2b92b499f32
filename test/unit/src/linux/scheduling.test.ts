import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { threadStatus } from "#src/linux/thread-status.js";

const NICE = 23n;
const mayRaise = ((threadStatus().effective >> NICE) & 1n) === 1n;
const MODULE = new URL("../../../../src/linux/native/scheduling.js", import.meta.url).href;

/** Nice value of a thread (proc_pid_stat(5), field 19). */
const niceOf = (path: string): number => {
  const stat = readFileSync(`${path}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
};

/** Runs a function of the module in another thread, and returns the nice value of that thread afterwards. */
function niceAfter(nice: number): Promise<number> {
  const code = `
    const { parentPort } = require("node:worker_threads");
    const { readFileSync } = require("node:fs");
    import(${JSON.stringify(MODULE)}).then(({ setThreadNice }) => {
      setThreadNice(${nice});
      const stat = readFileSync("/proc/thread-self/stat", "utf8");
      parentPort.postMessage(Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]));
    });`;
  return new Promise((resolve, reject) =>
    new Worker(code, { eval: true }).once("message", resolve).once("error", reject),
  );
}

test("a thread gets its nice value, and the others of the process keep theirs", async () => {
  const before = niceOf("/proc/self");
  assert.equal(await niceAfter(19), 19);
  assert.equal(niceOf("/proc/self"), before);
});

test("a lower value needs a right; without it the kernel's reason is the error", {
  skip: mayRaise ? false : "it needs CAP_SYS_NICE",
}, async () => {
  assert.equal(await niceAfter(-10), -10);
  assert.equal(niceOf("/proc/self"), niceOf("/proc/thread-self"));
});
