import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CniError } from "#router/cni/cni-error.js";
import { ReleaseQueue } from "#router/cni/release-queue.js";
import { silentLog } from "#src/log.js";

/** Runs `work` with a queue in a new folder. `replay` receives the bodies. */
async function withQueue(
  replay: (plugin: string, body: string) => Promise<void>,
  work: (folder: string, queue: ReleaseQueue) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "weave-cni-"));
  try {
    const queue = new ReleaseQueue({
      folder,
      replay: (plugin, body) => replay(plugin, body.toString()),
      log: silentLog,
    });
    await work(folder, queue);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("stored calls are executed once, and unfinished files are left to their writer", async () => {
  const done: string[] = [];
  await withQueue(
    async (plugin, body) => void done.push(`${plugin} ${body}`),
    async (folder, queue) => {
      writeFileSync(join(folder, "0123456789abcdef.net"), "a");
      writeFileSync(join(folder, "1123456789abcdef.ipam"), "b");
      writeFileSync(join(folder, ".new"), "c");
      writeFileSync(join(folder, ".old"), "c");
      writeFileSync(join(folder, "README"), "d");
      utimesSync(join(folder, ".old"), new Date(0), new Date(0));
      await Promise.all([queue.drain(), queue.drain()]);
      await queue.drain();
      assert.deepEqual(done, ["net a", "ipam b"]);
      assert.deepEqual(readdirSync(folder).sort(), [".new", "README"]);
    },
  );
});

test("a call that fails stays for later, a malformed one does not, and neither stops the others", async () => {
  let failing = true;
  const done: string[] = [];
  await withQueue(
    async (_, body) => {
      if (body === "malformed") throw new CniError("decoding", "x");
      if (body === "busy" && failing) throw new Error("x");
      done.push(body);
    },
    async (folder, queue) => {
      writeFileSync(join(folder, "0000000000000000.net"), "malformed");
      writeFileSync(join(folder, "0000000000000001.net"), "busy");
      writeFileSync(join(folder, "0000000000000002.net"), Buffer.alloc((1 << 20) + 1));
      writeFileSync(join(folder, "0000000000000003.net"), "good");
      await queue.drain();
      assert.deepEqual([done, readdirSync(folder)], [["good"], ["0000000000000001.net"]]);
      failing = false;
      await queue.drain();
      assert.deepEqual([done, readdirSync(folder)], [["good", "busy"], []]);
    },
  );
});

test("a missing folder is an empty queue", async () => {
  await new ReleaseQueue({ folder: "/nonexistent/cni", replay: async () => assert.fail(), log: silentLog }).drain();
});
