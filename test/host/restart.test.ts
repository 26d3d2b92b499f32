import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { launchFile } from "#src/paths.js";
import { labTest } from "#test/lab/lab-test.js";
import { environmentOf, runs } from "#test/lab/router-process.js";
import { until } from "#test/lab/wait.js";

/** `weave restart` of a router that `weave launch` started by itself. */

labTest(
  "restart keeps password, nickname, flags, targets, attachments and exposed addresses, and replaces both processes",
  { hosts: 3, timeout: 120_000 },
  async ({ hosts: [h1, h2, h3] }) => {
    for (const host of [h2, h3]) await host.launch("--password", "secret");
    await h1.launch("--password", "secret", "--no-dns", h2.address);
    await h1.ok("connect", h3.address);
    const { container, address } = await h1.attachAny("c1");
    const exposed = (await h1.ok("expose")).trim();
    const before = [h1.supervisorPid!, h1.routerPid!];
    // Of another shell: without the variables of the launch, and with some that must not count.
    const { code, stdout, stderr } = await h1.weaveWith({ WEAVE_PASSWORD: "other", WEAVE_MTU: "900" }, "restart");
    assert.deepEqual([code, stdout, stderr], [0, "", ""]);
    assert.deepEqual(
      before.map((pid) => runs(pid)),
      [false, false],
    );
    assert.ok(h1.supervisorPid !== undefined && h1.routerPid !== undefined);
    const status = await h1.ok("status");
    assert.match(status, /\(h1\)/);
    assert.match(status, /Encryption: enabled/);
    assert.doesNotMatch(status, /Service: dns/);
    for (const target of [h2, h3])
      await until(`${target.name} is connected`, async () =>
        new RegExp(`established encrypted .*\\(${target.name}\\)`).test(await h1.ok("status", "connections")),
      );
    assert.match(await h1.ok("ps"), new RegExp(address.replace("/", "\\/")));
    assert.equal((await h1.ok("expose")).trim(), exposed);
    const far = await h2.attachAny("c2");
    await until("frames pass", async () => (await container.ping(far.address.split("/")[0])) === 3);
  },
);

labTest(
  "restart says when there is nothing to restart, and leaves a router alone that it could not start again",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    const nothing = await h1.weave("restart");
    assert.deepEqual(
      [nothing.code, nothing.stderr],
      [1, "weave is not running: there is no router to start again\n'weave launch' starts one.\n"],
    );
    await h1.launch();
    const pid = h1.routerPid!;
    writeFileSync(launchFile(h1.runDir), '{"port": 0}');
    const broken = await h1.weave("restart");
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /^cannot use the options of the last launch: .*--port.*\n.*runs on as it is/s);
    assert.equal(h1.routerPid, pid);
    await h1.ok("stop");

    const foreground = h1.spawn(["env", ...environmentOf(h1), ...h1.weaveCommand, "launch", "--foreground"]);
    await until("it runs in the foreground", () => h1.routerPid !== undefined);
    const refused = await h1.weave("restart");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^The router \(process \d+\) runs in the foreground: only what started it/);
    const again = await h1.weave("launch");
    assert.deepEqual([again.code, again.stderr], [3, "weave is already running; you can stop it with 'weave stop'.\n"]);
    assert.equal(foreground.exitCode, null);
    await h1.ok("stop");
  },
);

labTest(
  "a restart without success says why, and the attempts go on",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch();
    const options = JSON.parse(readFileSync(launchFile(h1.runDir), "utf8")) as object;
    writeFileSync(launchFile(h1.runDir), JSON.stringify({ ...options, port: 7_777 }));
    const taken = await h1.background("listen", "7777");
    const log = h1.log().length;
    const { code, stderr } = await h1.weave("restart");
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^The router does not start again: .*7777.*\nFurther attempts follow; its log is .*'weave stop' ends them\.\n$/s,
    );
    taken.kill();
    await until("a router is there", () => h1.routerPid !== undefined, 30_000);
    assert.match(h1.log().slice(log), /it is started again/);
    await h1.ok("stop");
  },
);
