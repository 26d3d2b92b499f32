import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Host, WEAVE } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { execute } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

/** How the router and its supervisor end, by what is around them; and that whoever waits for them is told. */

/** An end takes two seconds at most; what is above it is this machine's load. */
const SOON_MS = 10_000;

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "weave-lifetime-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Makes Node run `code` first in router processes, and in no other. */
function inRouter(code: string): NodeJS.ProcessEnv {
  const file = join(folder, `preload-${Buffer.from(code).toString("base64url").slice(0, 40)}.mjs`);
  writeFileSync(
    file,
    `import { isMainThread } from "node:worker_threads";\nif (isMainThread && /router.main\\.js$/.test(process.argv[1] ?? "")) { ${code} }\n`,
  );
  return { NODE_OPTIONS: `--import ${file}` };
}

const launchWith = (host: Host, env: NodeJS.ProcessEnv, ...args: string[]) =>
  host.weaveWith(env, "launch", "--name", host.peerName, "--nickname", host.name, ...args);

/** For env(1): what a process that is not run by {@link Host.weaveWith} needs. */
const environmentOf = (host: Host, more: NodeJS.ProcessEnv = {}): string[] =>
  Object.entries({ ...host.environment, ...more }).map(([name, value]) => `${name}=${value}`);

const runs = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

/** Nothing of weave runs on the host. */
async function nothingRuns(host: Host): Promise<void> {
  const { stdout } = await execute("ip", ["netns", "pids", host.ns]);
  assert.equal(stdout, "");
  assert.deepEqual([host.supervisorPid, host.routerPid], [undefined, undefined]);
}

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
  "in the foreground: a standard output that breaks, or that nobody reads, does not end or stop the router",
  { hosts: 1, timeout: 60_000 },
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
  "a router that hangs is told from one that is away, and stopped all the same",
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
  { hosts: 1, timeout: 60_000 },
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

labTest(
  "a supervisor that cannot start a router goes on trying, says so, and succeeds when it can",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const node = join(h1.folder, "node");
    copyFileSync(process.execPath, node);
    const launch = await h1.weaveVia([node], "launch", "--name", h1.peerName);
    assert.equal(launch.stderr, "");
    const supervisor = h1.supervisorPid!;
    const failures: [RegExp, () => unknown, () => unknown][] = [
      // A package is being upgraded.
      [
        /cannot start .*node: spawn .* ENOENT/,
        () => renameSync(node, `${node}.away`),
        () => renameSync(`${node}.away`, node),
      ],
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
      /^No longer waiting for the router\.\nIt goes on starting in the background \(process \d+\): 'weave status' shows it, 'weave stop' ends it\.\n$/,
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

labTest(
  "a password is in no list of processes, and what weave writes is its owner's alone",
  { hosts: 1, timeout: 60_000 },
  async ({ hosts: [h1] }) => {
    const shown = async () => {
      const { stdout } = await execute("ip", ["netns", "pids", h1.ns]);
      const pids = stdout.split("\n").filter((line) => line !== "");
      assert.ok(pids.length >= 1);
      return pids
        .flatMap((pid) => ["cmdline", "environ"].map((name) => readFileSync(`/proc/${pid}/${name}`, "latin1")))
        .join("\n");
    };
    const common = ["--name", h1.peerName, "--nickname", "h1"];
    assert.equal((await h1.weaveWith({ WEAVE_PASSWORD: "open-sesame-env" }, "launch", ...common)).code, 0);
    assert.doesNotMatch(await shown(), /open-sesame/);
    for (const file of [
      "run/launch.json",
      "run/supervisor.pid",
      "run/router.pid",
      "run/control.sock",
      "log/router.log",
      "state/weavedata.db",
      "log",
      "state",
    ])
      assert.equal(statSync(join(h1.folder, file)).mode & 0o077, 0, file);
    await h1.ok("stop");
    const child = h1.spawn([
      "env",
      ...environmentOf(h1),
      "WEAVE_PASSWORD=open-sesame-env",
      WEAVE,
      "launch",
      "--foreground",
      "--password",
      "open-sesame-arg",
      ...common,
    ]);
    await until("it runs", () => h1.routerPid !== undefined);
    assert.equal(h1.routerPid, child.pid);
    assert.doesNotMatch(await shown(), /open-sesame/);
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("exit", resolve));

    const file = join(h1.folder, "password");
    writeFileSync(file, "open-sesame-file\nanother line\n", { mode: 0o644 });
    const launched = await h1.weave("launch", "--password-file", file, ...common);
    assert.equal(
      launched.stderr,
      `WARNING: others than its owner may read the password file ${file}; 'chmod 600 ${file}' ends that.\n`,
    );
    assert.doesNotMatch(await shown(), /open-sesame/);
    const authenticated = () => h1.report("{{.Router.PeersAuthenticated}} {{.Router.NickName}}");
    assert.equal(await authenticated(), "true h1");
    await h1.ok("stop");
    await h1.must("chmod", "600", file);
    const resumed = await h1.weave("launch", "--resume", "--name", h1.peerName);
    assert.equal(
      resumed.stderr,
      `--resume takes up the peers of the last launch, and not its other flags: --nickname h1\n--resume reads the password from ${file}, as the last launch did\n`,
    );
    assert.match(await authenticated(), /^true /);
    await h1.ok("stop");
    await h1.ok("launch", "--password", "open-sesame-arg", ...common);
    await h1.ok("stop");
    assert.doesNotMatch(readFileSync(join(h1.folder, "state/weavelaunch.json"), "utf8"), /open-sesame/);
    const refused = await h1.weave("launch", "--resume", ...common);
    assert.deepEqual(
      [refused.code, refused.stderr.split("\n")[0]],
      [1, "the last launch had a password, which is not kept on disk"],
    );
    assert.equal(h1.supervisorPid, undefined);
  },
);

labTest(
  "at debug level each part logs what it does; at the usual one none of it",
  { hosts: 2, timeout: 90_000 },
  async ({ hosts: [h1, h2] }) => {
    await h1.launch("--log-level", "debug");
    await h2.launch(h1.address);
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
  },
);
