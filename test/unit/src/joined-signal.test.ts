import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withJoinedSignal, withTimeLimit } from "#src/joined-signal.js";

const root = new URL("../../../../", import.meta.url).pathname;

/** Resolves to the reason when the signal is aborted. Nothing else refers to the signal. */
const aborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason)));

test("a joined signal is aborted with the reason of the first of its signals", async () => {
  const [first, second] = [new AbortController(), new AbortController()];
  const done = withJoinedSignal([first.signal, undefined, second.signal], aborted);
  second.abort("second");
  first.abort("first");
  assert.equal(await done, "second");
  const state = (signal: AbortSignal) => Promise.resolve([signal.aborted, signal.reason]);
  assert.deepEqual(await withJoinedSignal([first.signal, second.signal], state), [true, "first"]);
});

test("the time limit aborts, or the signal before it; afterwards neither is listened to", async () => {
  // The limit's timer does not keep the process alive.
  const alive = setInterval(() => {}, 1_000);
  try {
    assert.equal(((await withTimeLimit(5, undefined, aborted)) as Error).name, "TimeoutError");
  } finally {
    clearInterval(alive);
  }
  const controller = new AbortController();
  const done = withTimeLimit(60_000, controller.signal, aborted);
  controller.abort("before");
  assert.equal(await done, "before");
  assert.equal(await withTimeLimit(60_000, new AbortController().signal, () => Promise.resolve(1)), 1);
});

test("a signal that only listeners refer to is aborted after the collector has run", () => {
  const program = `
    import { withTimeLimit } from "#src/joined-signal.js";
    const parent = new AbortController();
    setInterval(() => gc(), 5);
    setTimeout(() => { console.log("never"); process.exit(1); }, 10_000);
    await withTimeLimit(100, parent.signal, (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve)));
    process.exit(0);`;
  execFileSync(process.execPath, ["--expose-gc", "--input-type=module", "--eval", program], { cwd: root });
});

test("no part of the program uses signals that Node 20 collects", () => {
  const users: string[] = [];
  for (const folder of ["src", "mesh", "ipam", "dns", "docker", "router", "cli"])
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }))
      if (name.endsWith(".ts") && /AbortSignal\.(any|timeout)\(/.test(readFileSync(join(root, folder, name), "utf8")))
        users.push(join(folder, name));
  assert.deepEqual(users, []);
});
