import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "#src/linux/exec.js";
import { findLink } from "#src/linux/links/links.js";
import { linkMtuTo, sourceTo } from "#src/linux/routes/route-to.js";
import { programMissing } from "#test/lab/requirements.js";

test("the kernel's route to a host is the one that ip shows", {
  skip: programMissing("ip", "iproute2") ?? false,
}, async () => {
  let routes = 0;
  for (const host of ["127.0.0.1", "8.8.8.8", "10.99.0.7"]) {
    const [shown] = await run("ip", ["-json", "route", "get", host]).then(JSON.parse, () => []);
    const mtu = shown?.dev === undefined ? undefined : (await findLink(shown.dev))?.mtu;
    assert.deepEqual([await linkMtuTo(host), await sourceTo(host)], [mtu, shown?.prefsrc], host);
    if (mtu !== undefined) routes++;
  }
  assert.ok(routes > 0, "there was no route to compare");
});

test("a name has no route", async () => {
  assert.deepEqual([await linkMtuTo("example"), await sourceTo("::1")], [undefined, undefined]);
});
