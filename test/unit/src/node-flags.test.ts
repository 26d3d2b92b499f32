import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { ROUTER_NODE_FLAGS } from "#src/node-flags.js";

/** Makes garbage as long messages do, for a second, and prints the CPU time of each thread in ticks of 10 ms; the first is its own. */
const COLLECTS = `
  const { readdirSync, readFileSync } = require("node:fs");
  const kept = Array.from({ length: 200_000 }, (_, i) => ({ i, text: String(i) }));
  for (const end = Date.now() + 1_000; Date.now() < end; gc()) Buffer.allocUnsafeSlow(9 << 20).fill(kept.length);
  const ticks = (task) => {
    const fields = readFileSync("/proc/self/task/" + task + "/stat", "utf8").split(") ")[1].split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  console.log(readdirSync("/proc/self/task").map(ticks).join(" "));
`;

test("garbage is collected by the thread that has made it: its time is charged to the neighbour whose message it was", () => {
  const output = execFileSync(process.execPath, [...ROUTER_NODE_FLAGS, "--expose-gc", "-e", COLLECTS]);
  const [own, ...others] = String(output).split(" ").map(Number);
  const helpers = others.reduce((sum, ticks) => sum + ticks, 0);
  assert.ok(own > 20, `${own} ticks`);
  // A compiler runs in a helper, too.
  assert.ok(helpers <= own / 20, `${helpers} ticks of helpers beside ${own}`);
});
