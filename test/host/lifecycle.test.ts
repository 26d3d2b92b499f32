import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launchFile } from "#src/paths.js";
import { type Host, WEAVE, withoutNft } from "#test/lab/host.js";
import type { Lab } from "#test/lab/lab.js";
import { labTest } from "#test/lab/lab-test.js";
import { execute } from "#test/lab/namespace.js";
import { runs } from "#test/lab/router-process.js";
import { connected, until } from "#test/lab/wait.js";

/** All that weave could leave on a host: interfaces, addresses, routes, rules, files. */
async function stateOf(lab: Lab, host: Host): Promise<string> {
  const files = readdirSync(lab.folder, { recursive: true }).map(String).sort().join("\n");
  const parts = await Promise.all([
    // Without interface indices and counters that move by themselves.
    host.must("ip", "-br", "link", "show"),
    host.must("ip", "-br", "-4", "address", "show"),
    host.must("ip", "route", "show", "table", "all"),
    host.must("ip", "rule", "show"),
    host.must("nft", "list", "ruleset"),
  ]);
  return [...parts, files].join("\n---\n").replace(/@if\d+/g, "");
}

labTest(
  "reset leaves nothing: links, addresses, routes, rules and files are as before",
  { hosts: 2, timeout: 120_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    const container = await h1.container("c");
    const before = await stateOf(lab, h1);
    await h1.launch();
    await h2.launch(h1.address);
    await connected(h1, 1);
    await h1.ok("attach", "10.32.0.1/12", `netns:${container.ns}`);
    await h1.ok("expose", "10.32.0.100/12");
    const during = await stateOf(lab, h1);
    assert.match(during, /weave-tap/);
    assert.match(during, /masquerade/);
    assert.equal(await h1.ok("reset"), "");
    await h2.ok("reset");
    assert.equal(await stateOf(lab, h1), before);
    await h1.ok("reset");
  },
);

labTest(
  "after stop the bridge and what is on it stay; a stopped weave is reset only by force",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch();
    const container = await h1.attach("c", "10.32.0.1/12");
    await h1.ok("stop");
    assert.equal(h1.routerPid, undefined);
    assert.equal((await container.run("ip", "link", "show", "ethwe")).code, 0);
    assert.equal((await h1.run("ip", "link", "show", "weave")).code, 0);
    assert.notEqual((await h1.run("ip", "link", "show", "weave-tap")).code, 0);
    const again = await h1.weave("stop");
    assert.deepEqual([again.code, again.stderr], [0, "Weave is not running.\n"]);
    const refused = await h1.weave("reset");
    assert.deepEqual(
      [refused.code, refused.stderr.split("\n")[0]],
      [1, "ERROR: weave is not running; unable to remove from cluster."],
    );
    await h1.ok("reset", "--force");
  },
);

labTest(
  "reset removes each socket that a killed router has left, wherever it listened",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1], folder }) => {
    const path = (name: string) => join(folder, "sockets", `${name}.sock`);
    const names = ["proxy", "proxy2", "status", "metrics", "driver", "mesh"];
    const proxy = [
      "--docker-api",
      `unix://${folder}/no-engine.sock`,
      "-H",
      `unix://${path("proxy")}`,
      "-H",
      path("proxy2"),
    ];
    const plugin = ["--plugin-socket", path("driver"), "--plugin-mesh-socket", path("mesh")];
    await h1.launch(
      "--no-restart",
      ...proxy,
      ...plugin,
      "--status-addr",
      path("status"),
      "--metrics-addr",
      path("metrics"),
    );
    const [router, supervisor] = [h1.routerPid!, h1.supervisorPid!];
    process.kill(router, "SIGKILL");
    await until("both have ended", () => !runs(router) && !runs(supervisor));
    assert.deepEqual(readdirSync(dirname(path(""))).sort(), names.map((name) => `${name}.sock`).sort());
    await h1.ok("reset", "--force");
    assert.deepEqual(readdirSync(dirname(path(""))), []);
  },
);

labTest(
  "a router that is killed comes back with its targets, its key and its name; its network works again",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    await h1.launch();
    await h2.ok("launch", "--nickname", "h2", "--name", h2.peerName);
    await h2.ok("connect", h1.address);
    await connected(h2, 1);
    const c1 = await h1.attach("c", "10.32.0.1/12");
    await h2.attach("c", "10.32.0.2/12");
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    for (let round = 0; round < 3; round++) {
      const pid = h2.routerPid!;
      process.kill(pid, "SIGKILL");
      await until("another router runs", () => h2.routerPid !== undefined && h2.routerPid !== pid);
      await until("it has its target", async () => (await h2.weave("status", "targets")).stdout === `${h1.address}\n`);
      await until("a ping is answered again", async () => (await c1.ping("10.32.0.2")) > 0, 30_000);
    }
    await connected(h1, 1);
    assert.match(await h1.ok("status", "connections"), new RegExp(`${h2.peerName}\\(h2\\)`));
  },
);

labTest(
  "a deleted TAP device is made again, and the network works",
  { hosts: 2, timeout: 180_000 },
  async ({ hosts: [h1, h2] }) => {
    await h1.launch();
    await h2.launch(h1.address);
    await connected(h1, 1);
    const c1 = await h1.attach("c", "10.32.0.1/12");
    await h2.attach("c", "10.32.0.2/12");
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    const pid = h2.routerPid;
    await h2.must("ip", "link", "delete", "weave-tap");
    await until("another router runs", () => h2.routerPid !== undefined && h2.routerPid !== pid);
    await until("a ping is answered again", async () => (await c1.ping("10.32.0.2")) > 0, 30_000);
    assert.match(h2.log(), /the TAP device weave-tap is gone/);
  },
);

labTest(
  "with --no-restart a killed router stays dead; --resume takes up the targets of the last one",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    await h1.launch();
    await h2.launch("--no-restart", h1.address);
    await connected(h2, 1);
    process.kill(h2.routerPid!, "SIGKILL");
    await until("its supervisor ends, too", () => h2.supervisorPid === undefined);
    await sleep(500);
    assert.equal(h2.routerPid, undefined);
    const status = await h2.weave("status");
    assert.deepEqual([status.code, status.stderr], [1, "weave is not running. Have you launched it?\n"]);
    await h2.launch("--resume");
    assert.equal(await h2.ok("status", "targets"), `${h1.address}\n`);
    await connected(h2, 1);
    await h2.ok("stop");
    await h2.launch();
    assert.equal(await h2.ok("status", "targets"), "");
  },
);

labTest(
  "launch prints one line, refuses to run twice, and keeps an address exposed over a restart",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    assert.match(await h1.launch(), /^\d+\n$/);
    const again = await h1.weave("launch");
    assert.deepEqual([again.code, again.stderr], [3, "weave is already running; you can stop it with 'weave stop'.\n"]);
    await h1.ok("expose", "10.32.0.5/12");
    await h1.ok("stop");
    await h1.must("nft", "delete", "table", "inet", "weave");
    await h1.must("ip", "address", "flush", "dev", "weave");
    await h1.launch();
    assert.match(await h1.must("ip", "-br", "-4", "address", "show", "weave"), /10\.32\.0\.5\/12/);
    assert.match(await h1.must("nft", "list", "ruleset"), /10\.32\.0\.0\/12 masquerade|masquerade/);
  },
);

labTest(
  "on a host without nft, expose and reset use its iptables, and leave none of it",
  { hosts: 1, timeout: 180_000 },
  async (lab) => {
    const [h1] = lab.hosts;
    const via = await withoutNft(h1);
    const hidden = (...args: string[]) => h1.weaveVia(via, ...args);
    const rules = () => h1.must("sh", "-c", "iptables-save | grep -v '^[#:]' | grep -i weave; true");
    assert.equal((await hidden("launch", "--name", "::1")).stderr, "");
    const exposed = await hidden("expose", "10.32.0.5/12");
    assert.deepEqual([exposed.code, exposed.stderr], [0, ""]);
    assert.match(await rules(), /-A WEAVE -s 10\.32\.0\.0\/12 ! -d 10\.32\.0\.0\/12 -j MASQUERADE/);
    assert.match(await rules(), /-A FORWARD -j WEAVE-EXPOSE/);
    assert.equal((await hidden("hide", "10.32.0.5/12")).code, 0);
    assert.doesNotMatch(await rules(), /MASQUERADE/);
    assert.equal((await hidden("reset")).stderr, "");
    assert.equal(await rules(), "");
  },
);

labTest(
  "in the foreground the router logs to standard output, and ends by a signal",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1], folder }) => {
    const child = h1.spawn([
      "env",
      `WEAVE_RUN_DIR=${folder}/fg`,
      `WEAVE_STATE_DIR=${folder}/fgs`,
      WEAVE,
      "launch",
      "--foreground",
      "--name",
      "::9",
    ]);
    let output = "";
    child.stdout!.on("data", (chunk: Buffer) => {
      output += chunk;
    });
    await until("it has started", () => output.includes("router started"));
    child.kill("SIGTERM");
    const code = await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(code, 0);
    assert.match(output, /router stopped/);
  },
);

labTest(
  "MTU of containers: 1376, WEAVE_MTU, and 65535 with WEAVE_NO_FASTDP, where 60 KB go in one frame",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    const mtu = async () =>
      Number(await (await h1.attach(`m${cases++}`, "10.32.0.1/12")).must("cat", "/sys/class/net/ethwe/mtu"));
    let cases = 0;
    for (const [env, expected] of [
      [{}, 1_376],
      [{ WEAVE_MTU: "1200" }, 1_200],
      [{ WEAVE_NO_FASTDP: "1" }, 65_535],
    ] as const) {
      assert.equal((await h1.weaveWith(env, "launch", "--name", h1.peerName, "--nickname", "h1")).code, 0);
      assert.equal(await mtu(), expected);
      if (expected < 65_535) await h1.ok("reset");
    }
    await h2.weaveWith({ WEAVE_NO_FASTDP: "1" }, "launch", "--name", h2.peerName, "--nickname", "h2", h1.address);
    await connected(h1, 1);
    const far = await h2.attach("far", "10.32.0.2/12");
    await until("a ping is answered", async () => (await far.ping("10.32.0.1")) > 0);
    assert.equal(await far.ping("10.32.0.1", { count: 3, size: 60_000 }), 3);
  },
);

labTest(
  "a path of a smaller MTU is found by probing, and bulk still passes",
  { hosts: 2, timeout: 120_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    // The wire in the middle drops datagrams longer than 1000 bytes, and says nothing (a black hole).
    await lab.wire.must(
      "nft",
      "add table bridge hole; add chain bridge hole pass { type filter hook forward priority 0; }; add rule bridge hole pass ip protocol udp ip length > 1000 drop",
    );
    // Datagrams must be on the wire one by one, as behind a real network card: the rule looks at each.
    for (const host of lab.hosts) await host.must("ethtool", "-K", host.device, "tx-udp-segmentation", "off");
    await h1.launch();
    await h2.launch(h1.address);
    await connected(h1, 1);
    const [c1, c2] = [await h1.attach("c", "10.32.0.1/12"), await h2.attach("c", "10.32.0.2/12")];
    await until(
      "the size is found",
      async () => /mtu=(8\d\d|9\d\d)\n/.test(await h1.ok("status", "connections")),
      30_000,
    );
    const receiver = await c2.background("receive", "5001");
    const { stdout } = await c1.program("send", "10.32.0.2", "5001", String(5 << 20));
    assert.equal(await receiver.result, stdout.trim());
  },
);

labTest(
  "bad input of launch: each a clear error, and nothing is left behind",
  { hosts: 1, timeout: 180_000 },
  async (lab) => {
    const [h1] = lab.hosts;
    const before = await stateOf(lab, h1);
    const refuse = async (expected: RegExp, code: number, ...args: string[]) => {
      const result = await h1.weave("launch", "--name", "::1", ...args);
      assert.match(result.stderr, expected);
      assert.equal(result.code, code, result.stderr);
      assert.equal(h1.routerPid, undefined);
      assert.equal(h1.supervisorPid, undefined);
    };
    await refuse(/^flag provided but not defined: --bogus\nSee 'weave launch --help'\.\n$/, 125, "--bogus");
    await refuse(
      /^flag provided but not defined: --awsvpc\n--awsvpc belongs to a part of weave that this version does not have yet/,
      125,
      "--awsvpc",
    );
    // Found out before anything is started or written; every flag's range is in test/unit/cli/launch-schema.test.ts.
    for (const [flag, value] of Object.entries({
      "--port": "99999",
      "--mtu": "10",
      "--weave-bridge": "toolongbridgename",
      "--db-prefix": "rel",
      "--nickname": "x".repeat(300),
      "--status-addr": "nowhere",
    })) {
      await refuse(new RegExp(`^invalid value "[^\\n]*" for ${flag}: it must be [^\\n]*\\n$`), 1, flag, value);
      assert.equal(existsSync(launchFile(h1.runDir)), false);
    }
    const variable = await h1.weaveWith({ WEAVE_PORT: "abc" }, "launch");
    assert.match(variable.stderr, /^invalid value "abc" for WEAVE_PORT: it must be a whole number from 1 to 65535\n$/);
    await refuse(/^invalid value "nonsense" for --docker-api: it must be [^\n]*\n$/, 1, "--docker-api", "nonsense");
    await refuse(/^invalid value "unix:\/\/relative" for -H: /, 1, "--docker-api=/x.sock", "-H", "unix://relative");
    await refuse(
      /^invalid value [^\n]*smaller than minimum size 4: 10\.2\.0\.0\/31\)\n$/,
      1,
      "--ipalloc-range=10.2.0.0/31",
    );
    await h1.must("ip", "route", "add", "blackhole", "10.40.0.0/16");
    await refuse(
      /^Network 10\.32\.0\.0\/12 overlaps with existing route 10\.40\.0\.0\/16 on host\nERROR: Default --ipalloc-range/,
      1,
    );
    await h1.must("ip", "route", "delete", "10.40.0.0/16");
    await refuse(/^invalid peer name "a:b:c", should be host\[:port\]\n$/, 1, "a:b:c");
    await refuse(/^invalid value "zz" for --name: it must be six hexadecimal octets/, 1, "--name", "zz");
    await refuse(
      /^You must not specify an initial peer list in conjunction with --resume\n$/,
      1,
      "--resume",
      "10.99.0.9",
    );
    await refuse(
      /encryption is off: the password could not protect anything/,
      1,
      "--password",
      "x",
      "--encryption",
      "off",
    );
    await refuse(/no such address on this host/, 1, "--host", "192.0.2.1");

    for (const program of ["listen", "hold-udp"]) {
      const holder = await h1.background(program, "6783");
      await refuse(/cannot listen on (TCP|UDP) 0\.0\.0\.0:6783: .*another process uses it/, 1);
      holder.kill();
      await sleep(100);
    }

    await h1.must("ip", "link", "add", "weave", "type", "bridge");
    await refuse(/^there is an interface weave that weave did not make\nRemove it/, 1);
    await h1.must("ip", "link", "delete", "weave");

    const hidden = await h1.run(
      "unshare",
      "--mount",
      "sh",
      "-c",
      `mount -t tmpfs none /dev/net && WEAVE_RUN_DIR=${lab.folder}/nt WEAVE_STATE_DIR=${lab.folder}/nts WEAVE_LOG_DIR=${lab.folder}/ntl exec ${WEAVE} launch --docker-api= --name ::1`,
    );
    assert.equal(hidden.code, 1);
    assert.match(
      hidden.stderr,
      /cannot open the TAP device weave-tap: ENOENT: there is no \/dev\/net\/tun\nLoad the driver with 'modprobe tun'/,
    );

    // A user namespace without a mapping: an unmapped user, which can still read this checkout.
    const unmapped = await execute("unshare", ["--user", process.execPath, WEAVE, "launch"], {
      WEAVE_RUN_DIR: "/tmp/none",
    });
    assert.deepEqual(
      [unmapped.code, unmapped.stderr.split("\n")[0]],
      [1, "weave must be run as 'root' when run locally"],
    );

    await h1.weave("reset", "--force");
    for (const left of ["nt", "nts", "ntl"]) await execute("rm", ["-rf", `${lab.folder}/${left}`]);
    assert.equal(await stateOf(lab, h1), before);
  },
);

labTest("bad input of the other commands", { hosts: 1, timeout: 120_000 }, async ({ hosts: [h1] }) => {
  const expect = async (code: number, stderr: RegExp, ...args: string[]) => {
    const result = await h1.weave(...args);
    assert.match(result.stderr, stderr);
    assert.equal(result.code, code);
  };
  await expect(1, /^weave is not running\. Have you launched it\?\n$/, "connect", "10.99.0.2");
  const container = await h1.container("c");
  await expect(1, /^weave is not running\./, "attach", "10.32.0.1/12", `netns:${container.ns}`);
  assert.match(await h1.ok("version"), /^weave command \d+\.\d+\.\d+\nweave \d+\.\d+\.\d+\n$/);
  assert.match(await h1.ok("setup"), /TAP +ok/);
  // The router finds the namespace.
  await h1.launch();
  await expect(1, /network namespace netns:none not found/, "attach", "10.32.0.1/12", "netns:none");
  await expect(1, /and therefore cannot be\nconnected to weave/, "attach", "10.32.0.1/12", "/proc/self/ns/net");
  await expect(1, /names no network namespace/, "attach", "10.32.0.1/12", "web");
  await expect(1, /invalid CIDR address: 10\.32\.0\.1\/99/, "attach", "10.32.0.1/99", "netns:x");
});
