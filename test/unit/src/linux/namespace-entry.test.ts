import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { libc } from "#src/linux/native/libc.js";
import { inNamespace, inNewNamespace, makeNamespace } from "#src/linux/native/namespace-entry.js";
import { inPrivateNetwork } from "#src/linux/native/private-network.js";

/** The calls that enter namespaces, in order: they are not made. */
let calls: string[] = [];
/** Numbers of the calls that the kernel refuses, from 0. */
let refused: number[] = [];

const system = libc as unknown as Record<string, (...args: number[]) => number>;
for (const name of ["setns", "unshare"]) system[name] = () => (refused.includes(calls.push(name) - 1) ? -1 : 0);

afterEach(() => {
  [calls, refused] = [[], []];
});

const WAYS: readonly (readonly [string, (work: () => void) => unknown])[] = [
  ["setns", (work) => inNamespace("/proc/self/ns/net", work)],
  ["unshare", (work) => inNewNamespace(work)],
  ["unshare", (work) => inPrivateNetwork(work)],
];

test("each way into a namespace tries the way back first, and takes it, also when the work fails", () => {
  for (const [leave, enter] of WAYS) {
    calls = [];
    enter(() => calls.push("work"));
    assert.deepEqual(calls, ["setns", leave, "work", "setns"]);
    calls = [];
    assert.throws(
      () =>
        enter(() => {
          throw new Error("a fault");
        }),
      /a fault/,
    );
    assert.deepEqual(calls, ["setns", leave, "setns"]);
  }
  calls = [];
  libc.close(makeNamespace());
  assert.deepEqual(calls, ["setns", "unshare", "setns"]);
});

test("a process that may not return does not leave, and one that may not leave does no work", () => {
  for (const [leave, enter] of WAYS)
    for (const at of [0, 1]) {
      [calls, refused] = [[], [at]];
      assert.throws(() => enter(() => assert.fail("it works in the wrong namespace")), { code: "WEAVE_NAMESPACE" });
      assert.deepEqual(calls, ["setns", leave].slice(0, at + 1));
    }
});
