import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { addedAttachment, attachmentOf } from "#router/cni/cni-calls.js";
import { CniError } from "#router/cni/cni-error.js";
import { ReleaseQueue } from "#router/cni/release-queue.js";
import { silentLog } from "#src/log.js";
import { until } from "#test/lab/wait.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

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
      attachmentOf: (plugin, body) => `${plugin} ${body}`,
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

test("a call that fails does not stay when its attachment is made again", async () => {
  await withQueue(
    async () => {
      throw new Error("x");
    },
    async (folder, queue) => {
      writeFileSync(join(folder, "0000000000000000.net"), "a");
      writeFileSync(join(folder, "0000000000000001.ipam"), "a");
      writeFileSync(join(folder, "0000000000000002.net"), "b");
      await queue.drain("net a");
      assert.deepEqual(readdirSync(folder), ["0000000000000001.ipam", "0000000000000002.net"]);
    },
  );
});

test("the attachment of a call is that of its network, container and interface, and an ADD makes it", () => {
  const body = (command: string, network = "n") =>
    Buffer.from(
      `CNI_COMMAND=${command}\0CNI_CONTAINERID=c\0CNI_IFNAME=eth0\0CNI_NETNS=/run/netns/x\0\0{"name":"${network}","type":"weave-net"}`,
    );
  assert.equal(attachmentOf("net", body("DEL")), "cni:n:c:eth0");
  assert.equal(addedAttachment("net", body("ADD")), "cni:n:c:eth0");
  assert.equal(addedAttachment("ipam", body("ADD", "m")), "cni-ipam:m:c:eth0");
  for (const other of [body("DEL"), body("GC"), body("ADD", "a/b"), Buffer.from("x")])
    assert.equal(addedAttachment("net", other), undefined);
});

test("a call that is stored while no other call comes is executed", async () => {
  const done: string[] = [];
  const clock = new VirtualClock();
  await withQueue(
    async (_, body) => void done.push(body),
    async (folder, queue) => {
      const timer = queue.drainRegularly(clock);
      await clock.run(25_000);
      writeFileSync(join(folder, "0000000000000000.net"), "a");
      await clock.run(20_000);
      await until("the call is executed", () => done.length === 1);
      timer.cancel();
      writeFileSync(join(folder, "0000000000000000.net"), "b");
      await clock.run(60_000);
      assert.deepEqual(done, ["a"]);
    },
  );
});

test("a missing folder is an empty queue", async () => {
  const fail = () => assert.fail();
  await new ReleaseQueue({ folder: "/nonexistent/cni", replay: fail, attachmentOf: fail, log: silentLog }).drain();
});
