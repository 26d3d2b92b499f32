import assert from "node:assert/strict";
import { test } from "node:test";
import { isKernelNewEnough } from "#cli/support/kernel.js";

test("kernel releases are compared by their two numbers", () => {
  for (const release of ["4.18.0", "4.19.0-27-amd64", "4.20", "5.4.0", "5.10.0-rc1", "6.8.0-45-generic"])
    assert.equal(isKernelNewEnough(release), true, release);
  for (const release of ["4.2.0", "4.9.337", "4.17.19", "3.19.8", "unknown"])
    assert.equal(isKernelNewEnough(release), false, release);
});
