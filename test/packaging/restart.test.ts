import assert from "node:assert/strict";
import { join } from "node:path";
import { builtBundle } from "#test/lab/built-bundle.js";
import { labTest } from "#test/lab/lab-test.js";

const WEAVE = join(builtBundle(), "bin/weave");

labTest(
  "the bundle's router reads what an earlier one has stored",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    h1.weaveCommand = [WEAVE];
    await h1.launch("--ipalloc-init", "consensus=1");
    const containers = [await h1.attachAny("one"), await h1.attachAny("two")];
    await h1.ok("stop");
    await h1.launch();
    for (const { container, address } of containers)
      assert.equal((await h1.ok("attach", `netns:${container.ns}`)).trim(), address.split("/")[0]);
  },
);
