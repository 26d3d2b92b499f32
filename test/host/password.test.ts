import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WEAVE } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { execute } from "#test/lab/namespace.js";
import { environmentOf } from "#test/lab/router-process.js";
import { until } from "#test/lab/wait.js";

labTest(
  "a password is in no list of processes, and what weave writes is its owner's alone",
  { hosts: 1, timeout: 180_000 },
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
      "state/weaveevents.jsonl",
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
      `WARNING: users other than its owner may read the password file ${file}; 'chmod 600 ${file}' prevents it.\n`,
    );
    assert.doesNotMatch(await shown(), /open-sesame/);
    const authenticated = () => h1.report("{{.Router.PeersAuthenticated}} {{.Router.NickName}}");
    assert.equal(await authenticated(), "true h1");
    await h1.ok("stop");
    await h1.must("chmod", "600", file);
    const resumed = await h1.weave("launch", "--resume", "--name", h1.peerName);
    assert.equal(
      resumed.stderr,
      `--resume restores the peers of the last launch, but not its other flags: --nickname h1\n--resume reads the password from ${file}, as the last launch did\n`,
    );
    assert.match(await authenticated(), /^true /);
    await h1.ok("stop");
    await h1.ok("launch", "--password", "open-sesame-arg", ...common);
    await h1.ok("stop");
    assert.doesNotMatch(readFileSync(join(h1.folder, "state/weavelaunch.json"), "utf8"), /open-sesame/);
    const refused = await h1.weave("launch", "--resume", ...common);
    assert.deepEqual(
      [refused.code, refused.stderr.split("\n")[0]],
      [1, "the last launch had a password, which is not stored on disk"],
    );
    assert.equal(h1.supervisorPid, undefined);
  },
);
