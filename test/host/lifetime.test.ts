import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { labTest } from "#test/lab/lab-test.js";
import { execute } from "#test/lab/namespace.js";
import { inRouter, launchWith, nothingRuns, runs } from "#test/lab/router-process.js";
import { until } from "#test/lab/wait.js";

/** How the router ends, hangs, or runs out of descriptors. */

/** An end takes two seconds at most; what is above it is the load of the machine. */
const SOON_MS = 10_000;

labTest(
  "every fatal end is soon over, its reason is in the log, and another router is there",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const kinds = inRouter(`
        process.on("SIGUSR2", () => { throw new Error("thrown on purpose"); });
        process.on("SIGPWR", () => void Promise.reject(new Error("rejected on purpose")));
        process.on("SIGXFSZ", () => { const heap = []; for (;;) heap.push(new Array(100_000).fill(1.5)); });
      `);
    const env = { ...kinds, NODE_OPTIONS: `${kinds.NODE_OPTIONS} --max-old-space-size=64` };
    assert.equal((await launchWith(h1, env, "--datapath-threads", "2")).stderr, "");
    const ends: [string, RegExp, (pid: number) => unknown][] = [
      ["exception", /"why":"thrown on purpose"/, (pid) => process.kill(pid, "SIGUSR2")],
      ["rejection", /"why":"rejected on purpose"/, (pid) => process.kill(pid, "SIGPWR")],
      ["no heap left", /heap out of memory/, (pid) => process.kill(pid, "SIGXFSZ")],
      ["a thread that fails", /the TAP device weave-tap is gone/, () => h1.must("ip", "link", "delete", "weave-tap")],
      ["killed", /it was ended by SIGKILL/, (pid) => process.kill(pid, "SIGKILL")],
    ];
    for (const [kind, reason, end] of ends) {
      // Its threads wait for frames, and none come: that is when an end took a minute.
      await sleep(500);
      const pid = h1.routerPid!;
      const before = h1.log().length;
      await end(pid);
      await until(`${kind}: it has ended`, () => !runs(pid), SOON_MS);
      await until(`${kind}: another router runs`, () => h1.routerPid !== undefined && h1.routerPid !== pid, 30_000);
      assert.match(h1.log().slice(before), reason, kind);
      assert.match(h1.log().slice(before), /"msg":"the router has ended; it is started again"/);
    }
    await h1.ok("stop");
    await nothingRuns(h1);
  },
);

labTest(
  "status distinguishes a hanging router from none, and stop ends it",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await launchWith(h1, inRouter(`process.on("SIGUSR2", () => { for (;;); });`));
    for (const signal of ["SIGUSR2", "SIGSTOP"] as const) {
      if (h1.routerPid === undefined) await h1.launch();
      process.kill(h1.routerPid!, signal);
      if (signal === "SIGSTOP") {
        const { code, stderr } = await h1.weave("status");
        assert.equal(code, 1);
        assert.match(
          stderr,
          /^the weave router runs \(process \d+\), but does not answer: .*\nIts log is .*; 'weave stop' ends it\.\n$/,
        );
      }
      await h1.ok("stop");
      await nothingRuns(h1);
    }
    // A part that never stops: the listener for peers.
    const stuck = `(await import("node:net")).Server.prototype.close = function () { return this; };`;
    assert.equal((await launchWith(h1, inRouter(stuck))).stderr, "");
    await h1.ok("stop");
    await nothingRuns(h1);
    assert.match(h1.log(), /"msg":"the router was ended before all of its parts had stopped"/);
    // A router whose supervisor is gone works, but the next crash would be its last.
    await h1.launch();
    process.kill(h1.supervisorPid!, "SIGKILL");
    await until("it is shown", async () =>
      /Problem: the process \d+, which starts the router again/.test(await h1.ok("status")),
    );
    await h1.ok("stop");
    await nothingRuns(h1);
  },
);

labTest(
  "a router without descriptors refuses what it must, and goes on",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch();
    // Its threads have loaded what they need.
    await until("its threads answer", async () => (await h1.report("{{json .Router.Drops}}")).startsWith('{"'));
    const pid = h1.routerPid!;
    const monitor = async () => (await execute("pgrep", ["-P", String(pid), "ip"])).stdout.trim();
    const first = await monitor();
    const limit = (count: number) => h1.must("prlimit", "--pid", String(pid), `--nofile=${count}:20000`);
    await limit(3);
    const callers = [6782, 6783, 6784].map((port) => h1.program("connect-many", String(port), "50"));
    // What watches the host must be started again, and cannot be.
    process.kill(Number(first), "SIGKILL");
    await Promise.all(callers);
    await sleep(3_000);
    assert.equal(h1.routerPid, pid);
    await limit(20_000);
    await until("the host is watched again", async () => !["", first].includes(await monitor()));
    assert.match(await h1.ok("status"), /Service: router/);
    assert.equal(h1.routerPid, pid);
  },
);
