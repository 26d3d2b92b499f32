import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { labTest } from "#test/lab/lab-test.js";
import { until } from "#test/lab/wait.js";

labTest(
  "the log level changes without a restart, by reload and by SIGHUP; health and readiness are at each port",
  { hosts: 1, timeout: 60_000 },
  async ({ hosts: [h1] }) => {
    const none = await h1.weave("reload", "--log-level", "debug");
    assert.deepEqual([none.code, none.stderr], [1, "weave is not running. Have you launched it?\n"]);
    await h1.launch("--dns-listen-address", "127.0.0.1:5300", "--metrics-addr", "127.0.0.1:6781");
    const router = h1.routerPid!;
    const file = join(h1.runDir, "launch.json");
    for (const port of [6781, 6782, 6784])
      for (const [path, body] of [
        ["healthz", "alive\n"],
        ["readyz", "ready\n"],
      ])
        assert.equal(await h1.must("curl", "-sSf", `http://127.0.0.1:${port}/${path}`), body);
    // Over TCP a reload is unknown, with the token too: the launch file is root's.
    const refused = await h1.run(
      "curl",
      "-sS",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "-X",
      "POST",
      "http://127.0.0.1:6784/reload",
    );
    assert.equal(refused.stdout, "404");

    const debugLines = () => h1.log().split('"level":"debug"').length - 1;
    await h1.ok("status");
    assert.equal(debugLines(), 0, h1.log().slice(0, 500));
    assert.equal(await h1.ok("reload", "--log-level", "debug"), "log level: debug\n");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    await h1.ok("status");
    await until("calls are logged", async () => debugLines() > 0);

    const options = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...options, logLevel: "error" }));
    process.kill(router, "SIGHUP");
    await until("the signal is handled", async () => (await h1.weave("reload")).stdout === "log level: error\n");
    const before = debugLines();
    await h1.ok("status");
    assert.equal(debugLines(), before);

    // A file that cannot be used changes nothing, and ends nothing.
    writeFileSync(file, "{");
    const broken = await h1.weave("reload");
    assert.equal(broken.code, 1);
    process.kill(router, "SIGHUP");
    assert.equal(h1.routerPid, router);
    assert.match(await h1.ok("status"), /Version/);
    writeFileSync(file, JSON.stringify(options));
    chmodSync(file, 0o600);
    assert.equal(await h1.ok("reload"), "log level: debug\n");
  },
);
