import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ProgressLine, showsProgress } from "#cli/support/progress.js";

const ERASE = "\r\u001B[K";

/** A terminal in memory. */
function terminal(columns = 80) {
  const written: string[] = [];
  const stream = () => ({ columns, write: (text: string) => written.push(text) > 0 }) as unknown as NodeJS.WriteStream;
  const [stderr, stdout] = [stream(), stream()];
  return { written, stderr, stdout, line: new ProgressLine({ stream: stderr, sharedWith: [stdout] }) };
}

test("work that is quick shows nothing", async () => {
  const { written, line, stderr } = terminal();
  const { write } = stderr;
  assert.equal(await line.during("quick work", async () => 7), 7);
  assert.deepEqual(written, []);
  assert.equal(stderr.write, write);
});

test("long work is one line that is rewritten, makes way for output, and is gone at the end, also of a failure", async () => {
  const { written, line, stderr, stdout } = terminal();
  const work = line.during("outer work", async () => {
    await line.during("inner work", () => sleep(500));
    stdout.write("a line\n");
    stderr.write("a warning\n");
    await sleep(1_000);
    throw new Error("failed");
  });
  await assert.rejects(work, /failed/);
  assert.deepEqual(written.slice(0, 5), [
    `${ERASE}inner work … 0 s`,
    `${ERASE}outer work … 0 s`,
    ERASE,
    "a line\n",
    "a warning\n",
  ]);
  assert.equal(written.at(-1), ERASE);
  assert.match(written.at(-2)!, /outer work … 1 s$/);
  stderr.write("after\n");
  assert.equal(written.at(-1), "after\n");
});

test("a line is shorter than the terminal is wide", async () => {
  const { written, line } = terminal(12);
  await line.during("a long description of the work", () => sleep(450));
  assert.equal(written[0], `${ERASE}a long desc`);
});

test("progress is for a terminal that can erase, and for no program", () => {
  const [tty, env] = [{ isTTY: true }, { TERM: "xterm" }];
  assert.ok(showsProgress(tty, env, ["launch"]));
  assert.ok(!showsProgress({}, env, ["launch"]));
  assert.ok(!showsProgress(tty, env, ["launch", "--json"]));
  assert.ok(!showsProgress(tty, { ...env, NO_COLOR: "1" }, []));
  assert.ok(!showsProgress(tty, { TERM: "dumb" }, []));
});
