import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LogSink } from "#src/log-sink.js";

let folder: string;
let problems: (string | undefined)[];
let sink: LogSink;

const open = (name: string): LogSink => {
  sink = new LogSink({ file: join(folder, name), onProblem: (problem) => problems.push(problem) });
  return sink;
};
const until = async (condition: () => boolean) => {
  const deadline = Date.now() + 15_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, "waited in vain");
    await sleep(20);
  }
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weave-log-"));
  problems = [];
});
afterEach(() => {
  sink.close();
  rmSync(folder, { recursive: true, force: true });
});

test("lines are written immediately to a file that only its owner may read", () => {
  open("sub/log").write("one\n");
  sink.write("two\n");
  assert.equal(readFileSync(join(folder, "sub/log"), "utf8"), "one\ntwo\n");
  assert.equal(statSync(join(folder, "sub/log")).mode & 0o777, 0o600);
  assert.deepEqual(problems, []);
});

test("on a full disk lines are pending, then lost and counted; with free space they and the count are written", async () => {
  const log = join(folder, "log");
  // Each write to it fails with ENOSPC (full(4)).
  symlinkSync("/dev/full", log);
  open("log").write("first\n");
  assert.match(problems.join(), /the log .*\/log cannot be written: ENOSPC/);
  const line = `${"x".repeat(1_023)}\n`;
  for (let i = 0; i < 300; i++) sink.write(line);
  // 256 KB wait: the first line and 255 of 1,024 bytes.
  assert.equal(sink.lost, 45);
  rmSync(log);
  await until(() => problems.length > 1);
  sink.write("last\n");
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  assert.equal(lines.length, 1 + 255 + 1 + 1);
  assert.deepEqual([lines[0], lines.at(-1)], ["first", "last"]);
  const { lost, why } = JSON.parse(lines.at(-2)!) as { lost: number; why: string };
  assert.equal(lost, 45);
  assert.match(why, /ENOSPC/);
  assert.deepEqual(problems.slice(1), [undefined]);
});

test("a pipe whose reader does not read blocks nothing; lost lines are counted, the rest arrives when it reads", async () => {
  const pipe = join(folder, "log");
  execFileSync("mkfifo", [pipe]);
  open("log").write("no reader yet\n");
  assert.match(problems.join(), /ENXIO/);
  const reader = spawn("sh", ["-c", `exec 3<${pipe}; echo open; read -r go; exec cat <&3`], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  let read = "";
  reader.stdout.on("data", (chunk: Buffer) => {
    read += chunk;
  });
  await until(() => problems.at(-1) === undefined);
  const line = `${"x".repeat(1_023)}\n`;
  for (let i = 0; i < 1_000; i++) sink.write(line);
  assert.ok(sink.lost > 500, `${sink.lost} lines lost`);
  assert.match(problems.at(-1) ?? "", /does not read/);
  reader.stdin.write("go\n");
  await until(() => problems.at(-1) === undefined);
  sink.write("last\n");
  await until(() => read.endsWith("last\n"));
  assert.equal(read.split("\n").filter((text) => text.startsWith("xxx")).length, 1_000 - sink.lost);
  assert.match(read, /^open\nno reader yet\n/);
  // Its reader goes away: an error of the pipe, not of the process.
  reader.kill("SIGKILL");
  await new Promise((resolve) => reader.once("exit", resolve));
  sink.write("to no reader\n");
  assert.match(problems.at(-1) ?? "", /EPIPE/);
});

test("a log that is deleted, or moved with its folder, is made again", async () => {
  open("a/log").write("one\n");
  rmSync(join(folder, "a"), { recursive: true });
  sink.check();
  sink.write("two\n");
  assert.equal(readFileSync(join(folder, "a/log"), "utf8"), "two\n");
  renameSync(join(folder, "a/log"), join(folder, "a/old"));
  sink.check();
  sink.write("three\n");
  assert.equal(readFileSync(join(folder, "a/log"), "utf8"), "three\n");
});

test("a large log is renamed; if that fails it goes on, and the reason is reported until it succeeds", () => {
  const log = join(folder, "log");
  open("log").write("one\n");
  truncateSync(log, 16 << 20);
  // A folder in the way.
  execFileSync("mkdir", ["-p", `${log}.1/x`]);
  sink.check();
  assert.match(problems.join(), /cannot put the log .* aside: /);
  sink.write("two\n");
  assert.ok(statSync(log).size > 16 << 20);
  rmSync(`${log}.1`, { recursive: true });
  sink.check();
  assert.equal(problems.at(-1), undefined);
  sink.write("three\n");
  assert.equal(readFileSync(log, "utf8"), "three\n");
  assert.ok(statSync(`${log}.1`).size > 16 << 20);
});
