import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { confinementLine, confinementOf } from "#router/host/confinement.js";
import { capabilityNames, KEPT, ROUTER_CAPABILITIES, SETPCAP } from "#src/linux/capabilities.js";
import { restricted } from "#src/linux/setpriv.js";
import { type ThreadStatus, threadStatus } from "#src/linux/thread-status.js";
import { ROOT } from "#test/lab/docs/pages.js";

const names = Object.keys(ROUTER_CAPABILITIES);
const ALL = (1n << 41n) - 1n;
const full: ThreadStatus = {
  permitted: ALL,
  effective: ALL,
  bounding: ALL,
  inheritable: 0n,
  noNewPrivileges: false,
  filtered: false,
};

test("the unit and the managed plugin have the capabilities of the table, and no others", () => {
  const unit = readFileSync(join(ROOT, "packaging/systemd/weave.service"), "utf8");
  const [, inUnit] = /^CapabilityBoundingSet=(.*)$/m.exec(unit)!;
  assert.deepEqual(inUnit.split(" ").sort(), names.map((name) => `CAP_${name}`).sort());
  const plugin = JSON.parse(readFileSync(join(ROOT, "packaging/plugin/config.json"), "utf8"));
  for (const name of plugin.linux.capabilities) assert.ok(names.includes(name.replace("CAP_", "")), name);
  assert.deepEqual(capabilityNames(KEPT).sort(), names.sort());
  assert.deepEqual(capabilityNames(ALL).slice(-2), ["BPF", "CHECKPOINT_RESTORE"]);
  assert.deepEqual(capabilityNames(1n << 60n), ["60"]);
});

test("setpriv drops all but the table; where it may not, or has nothing to do, the program starts as it is", () => {
  const command = ["node", "supervisor.js"] as const;
  const line = restricted(command, { ...full, inheritable: 1n << 8n })!;
  assert.deepEqual([line[0], line.slice(-3)], ["setpriv", ["--", ...command]]);
  assert.ok(line.includes("--no-new-privs") && line.includes("--inh-caps=-cap_8"));
  const dropped = line.find((word) => word.startsWith("--bounding-set="))!;
  for (const number of [2, 5, SETPCAP, 16, 40]) assert.match(dropped, new RegExp(`-cap_${number}\\b`));
  for (const { number } of Object.values(ROUTER_CAPABILITIES))
    assert.doesNotMatch(dropped, new RegExp(`-cap_${number}\\b`));
  assert.equal(restricted(command, { ...full, effective: KEPT }), undefined);
  const done = { ...full, bounding: KEPT | (1n << BigInt(SETPCAP)), noNewPrivileges: true };
  assert.equal(restricted(command, done)?.[2], `--bounding-set=-cap_${SETPCAP}`);
  assert.equal(restricted(command, { ...done, bounding: KEPT }), undefined);
});

test("a program behind setpriv has the table's capabilities, and so have its children", {
  skip: process.getuid?.() !== 0,
}, () => {
  const own = threadStatus();
  const command = restricted(["sh", "-c", "grep -hE 'CapPrm|CapBnd|NoNewPrivs' /proc/self/status"], own);
  if (command === undefined) return;
  const [file, ...args] = command;
  const text = execFileSync(file, args, { encoding: "utf8" });
  const kept = (own.bounding & KEPT).toString(16).padStart(16, "0");
  assert.equal(text, `CapPrm:\t${kept}\nCapBnd:\t${kept}\nNoNewPrivs:\t1\n`);
});

test("status names what is in force, and what is not", () => {
  const kept = { ...full, permitted: KEPT, bounding: KEPT, noNewPrivileges: true, filtered: true };
  assert.equal(
    confinementLine(confinementOf([kept, kept], [])),
    "     Privileges: 9 capabilities, no new privileges, system calls filtered\n",
  );
  const state = confinementOf([kept, full], ["core dumps cannot be turned off"]);
  assert.equal(
    confinementLine(state),
    "     Privileges: 41 capabilities, 32 of them not needed, NEW PRIVILEGES POSSIBLE, SYSTEM CALLS NOT FILTERED, core dumps cannot be turned off\n",
  );
  assert.ok(state.Unneeded.includes("SYS_MODULE"));
});
