import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tokenFile } from "#src/paths.js";
import { WEAVE } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { execute } from "#test/lab/namespace.js";
import { environmentOf, runs } from "#test/lab/router-process.js";
import { connected, until } from "#test/lab/wait.js";

/** The log: a disk that is full, an output that breaks, levels. */

/** An end takes two seconds at most; what is above it is the load of the machine. */
const SOON_MS = 10_000;

labTest(
  "a full log disk is shown, and costs no frame; with room again the log goes on",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    const disk = join(h1.folder, "log");
    mkdirSync(disk);
    assert.equal((await execute("mount", ["-t", "tmpfs", "-o", "size=256k", "none", disk])).code, 0);
    try {
      await h1.launch();
      await h2.launch(h1.address);
      await connected(h1, 1);
      const c1 = await h1.attach("c", "10.32.0.1/12");
      await h2.attach("c", "10.32.0.2/12");
      await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
      const pid = h1.routerPid;
      await execute("dd", ["if=/dev/zero", `of=${disk}/filler`, "bs=4096"]);
      const pings = c1.ping("10.32.0.2", { count: 60 });
      // Each start of the other end is some lines of the log here.
      await until(
        "the problem is shown",
        async () => {
          await h2.ok("stop");
          await h2.launch(h1.address);
          return /Problem: the log .*router\.log cannot be written: ENOSPC/.test(await h1.ok("status"));
        },
        40_000,
      );
      await connected(h1, 1);
      assert.ok((await pings) > 0);
      await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
      rmSync(`${disk}/filler`);
      await until("the problem is over", async () => !/Problem: the log/.test(await h1.ok("status")));
      assert.match(h1.log(), /"why":"ENOSPC[^}]*"msg":"the log could not be written for a while"/);
      assert.equal(h1.routerPid, pid);
      assert.match(
        (await execute("ip", ["netns", "exec", h1.ns, "curl", "-s", "http://127.0.0.1:6782/metrics"])).stdout,
        /weave_log_lines_lost_total \d/,
      );
    } finally {
      await execute("umount", ["-l", disk]);
    }
  },
);

labTest(
  "a broken or unread standard output neither ends nor blocks a router in the foreground",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    for (const reader of ["head -n 0", "sleep 1000"]) {
      const command = `"$0" launch --foreground --log-level debug --name ::9 2>&1 | ${reader}`;
      const child = h1.spawn(["env", ...environmentOf(h1), "sh", "-c", command, WEAVE]);
      await until("it runs", () => h1.routerPid !== undefined);
      const pid = h1.routerPid!;
      if (reader === "head -n 0")
        await until("the problem is shown", async () =>
          /Problem: the log on standard output cannot be written: E/.test(await h1.ok("status")),
        );
      else assert.match(await h1.ok("status"), /Service: router/);
      assert.equal(h1.routerPid, pid);
      process.kill(pid, "SIGTERM");
      await until("it has ended", () => !runs(pid), SOON_MS);
      child.kill("SIGKILL");
    }
  },
);

labTest(
  "at debug level each part logs what it does, and no secret; at the usual one none of it",
  { hosts: 2, timeout: 180_000 },
  async ({ hosts: [h1, h2] }) => {
    const secret = "correct horse battery staple 7";
    await h1.launch("--log-level", "debug", "--password", secret);
    await h2.launch("--password", secret, h1.address);
    await connected(h1, 1);
    const { container } = await h1.attachAny("c");
    await h2.attachAny("c");
    await h1.ok("connect", "10.99.0.77");
    await h1.ok("detach", `netns:${container.ns}`);
    const parts = {
      dialling: /"msg":"dialling"/,
      handshake: /"role":"responder","msg":"a handshake begins"/,
      path: /"msg":"a path is probed"/,
      routes: /"msg":"routes were computed"/,
      gossip: /"msg":"the topology is compared with a neighbour"/,
      ipam: /"msg":"an address is allocated"/,
      "ipam's end": /"msg":"an address is freed"/,
      api: /"call":"GET \/status\/connections","status":200,"msg":"the control API was called"/,
    };
    for (const [part, line] of Object.entries(parts)) await until(`${part} logs`, () => line.test(h1.log()), 40_000);
    assert.doesNotMatch(h2.log(), /"level":"debug"/);
    const token = readFileSync(tokenFile(h1.runDir), "utf8").trim();
    for (const hidden of [secret, token]) assert.ok(!h1.log().includes(hidden));
  },
);

labTest(
  "in the foreground at a terminal a line of the log is a sentence",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const command = `${WEAVE} launch --foreground --name ::9 --dns-listen-address 127.0.0.1:5300`;
    const child = h1.spawn(["env", "NO_COLOR=1", ...environmentOf(h1), "script", "-qec", command, "/dev/null"]);
    let output = "";
    child.stdout!.on("data", (chunk: Buffer) => {
      output += chunk;
    });
    await until("it runs", () => h1.routerPid !== undefined, 60_000);
    const pid = h1.routerPid!;
    process.kill(pid, "SIGTERM");
    await until("it has ended", () => !runs(pid), SOON_MS);
    await until("its last line is there", () => /^\d\d:\d\d:\d\d router stopped\r$/m.test(output), SOON_MS);
    assert.doesNotMatch(output, /"level"/);
  },
);
