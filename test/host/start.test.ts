import assert from "node:assert/strict";
import { copyFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WEAVE } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { environmentOf, inRouter, launchWith, nothingRuns } from "#test/lab/router-process.js";
import { until } from "#test/lab/wait.js";

/** Starts that fail or are slow, and what waiting commands report. */

labTest(
  "a supervisor that cannot start a router reports it, retries, and succeeds later",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const node = join(h1.folder, "node");
    copyFileSync(process.execPath, node);
    const launch = await h1.weaveVia([node], "launch", "--name", h1.peerName);
    assert.equal(launch.stderr, "");
    const supervisor = h1.supervisorPid!;
    const failures: [RegExp, () => unknown, () => unknown][] = [
      // A package is being upgraded.
      [/cannot start .*node: ENOENT/, () => renameSync(node, `${node}.away`), () => renameSync(`${node}.away`, node)],
      // No descriptors: as no processes and no memory, an error of the host's that passes.
      [
        /^the weave router has ended/,
        async () => void (await h1.must("prlimit", "--pid", String(supervisor), "--nofile=3:1024")),
        async () => void (await h1.must("prlimit", "--pid", String(supervisor), "--nofile=1024:1024")),
      ],
    ];
    for (const [why, cause, repair] of failures) {
      const pid = h1.routerPid!;
      await cause();
      process.kill(pid, "SIGKILL");
      await until("status says it", async () => {
        const { code, stderr } = await h1.weave("status");
        return code === 1 && why.test(stderr) && stderr.startsWith("the weave router has ended");
      });
      assert.equal(h1.supervisorPid, supervisor);
      assert.equal((await h1.weave("launch")).code, 3);
      await repair();
      await until("another router runs", () => h1.routerPid !== undefined && h1.routerPid !== pid, 30_000);
      assert.match(await h1.ok("status"), /Service: router/);
    }
    assert.equal(h1.supervisorPid, supervisor);
  },
);

labTest(
  "a start that fails in any way ends launch with its reason, and nothing is left running",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const cases: [RegExp, string][] = [
      [/Cannot find (module|package).*no-such-module/, `await import("/no-such-module.js");`],
      [/it was ended by SIGSEGV/, `process.kill(process.pid, "SIGSEGV");`],
      [/it ended with status 7/, `process.exit(7);`],
      [/thrown while starting/, `setTimeout(() => { throw new Error("thrown while starting"); }, 1);`],
      [/JSON/, `(await import("node:fs")).writeFileSync(process.env.WEAVE_RUN_DIR + "/launch.json", "{");`],
      [/no such file or directory/, `(await import("node:fs")).rmSync(process.env.WEAVE_RUN_DIR + "/launch.json");`],
    ];
    for (const [reason, code] of cases) {
      const { code: status, stderr } = await launchWith(h1, inRouter(code));
      assert.match(stderr, reason);
      assert.equal(status, 1);
      await nothingRuns(h1);
      const after = await h1.weave("status");
      assert.deepEqual([after.code, after.stderr], [1, "weave is not running. Have you launched it?\n"]);
    }
    // A log that cannot be made costs no frame, so it is no reason to fail.
    rmSync(join(h1.folder, "log"), { recursive: true });
    writeFileSync(join(h1.folder, "log"), "a file in the place of a folder");
    await h1.launch();
    assert.match(await h1.ok("status"), /Problem: the log .* cannot be written: E/);
  },
);

labTest(
  "launch, status and stop agree on a router that is slow to start; Ctrl-C says what goes on",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const slow = inRouter(`for (const end = Date.now() + 3_000; Date.now() < end; );`);
    const child = h1.spawn(["env", ...environmentOf(h1, slow), WEAVE, "launch", "--name", h1.peerName]);
    let said = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      said += chunk;
    });
    await until("its supervisor runs", () => h1.supervisorPid !== undefined);
    const second = await h1.weave("launch");
    assert.equal(second.code, 3);
    const status = await h1.weave("status");
    assert.deepEqual([status.code, status.stderr], [1, "weave is starting\n"]);
    child.kill("SIGINT");
    const code = await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(code, 130);
    assert.match(
      said,
      /^No longer waiting for the router\.\nIt continues to start in the background \(process \d+\): 'weave status' shows it, 'weave stop' ends it\.\n$/,
    );
    await until("it runs", async () => (await h1.weave("status")).code === 0, 30_000);
    await h1.ok("stop");
    const waiting = launchWith(h1, slow);
    await until("its supervisor runs", () => h1.supervisorPid !== undefined);
    await h1.ok("stop");
    assert.deepEqual([(await waiting).code, (await waiting).stderr], [1, "weave was stopped before it was ready.\n"]);
    await nothingRuns(h1);
  },
);
