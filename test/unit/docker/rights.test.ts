import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { installHelper } from "#docker/wait/helper.js";
import { listen } from "#src/http/listen.js";

test("the helper and the folders of sockets are open to all users, also under a strict umask", async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-rights-"));
  const before = process.umask(0o077);
  const server = createServer();
  try {
    const modeOf = (path: string) => (statSync(join(folder, path)).mode & 0o777).toString(8);
    assert.equal(installHelper(join(folder, "state/w")), join(folder, "state/w"));
    assert.deepEqual([modeOf("state/w"), modeOf("state/w/w"), modeOf("state")], ["755", "755", "700"]);
    mkdirSync(join(folder, "there"));
    await listen(server, { path: join(folder, "there/new/deep/weave.sock") }, { name: "a test", remedy: "" });
    assert.deepEqual([modeOf("there/new"), modeOf("there/new/deep"), modeOf("there")], ["755", "755", "700"]);
  } finally {
    server.close();
    await once(server, "close");
    process.umask(before);
    rmSync(folder, { recursive: true, force: true });
  }
});
