import assert from "node:assert/strict";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { execute } from "#test/lab/namespace.js";
import { routerImage } from "#test/lab/router-image.js";
import { type SystemdHost, systemdTest } from "#test/lab/systemd-host.js";
import { until } from "#test/lab/wait.js";

/** weave.service under a real systemd: what it starts, what it starts again, and what a reboot brings back. */

/** Strong enough that launch does not warn. */
const PASSWORD = "kettle-ninety-walrus-lamp";
const project = new URL("../../../../", import.meta.url).pathname;
const stage = mkdtempSync(join(tmpdir(), "weave-stage-"));
after(() => rmSync(stage, { recursive: true, force: true }));
let staged: Promise<void> | undefined;

/** Puts weave where the Debian package puts it. */
async function unpack(host: SystemdHost): Promise<void> {
  staged ??= execute(join(project, "scripts/build/stage.sh"), ["amd64", join(stage, "weave")]).then(
    ({ code, stderr }) => assert.equal(code, 0, stderr),
  );
  await staged;
  const at = (path: string) => {
    mkdirSync(dirname(host.path(path)), { recursive: true });
    return host.path(path);
  };
  cpSync(join(stage, "weave"), at("/usr/lib/weave"), { recursive: true });
  mkdirSync(at("/usr/bin"), { recursive: true });
  symlinkSync("../lib/weave/weave", at("/usr/bin/weave"));
  cpSync(join(stage, "weave/share/systemd/weave.service"), at("/usr/lib/systemd/system/weave.service"));
  cpSync(join(stage, "weave/share/systemd/weave.env"), at("/etc/weave/weave.env"));
}

/** Lines of a drop-in file of the unit, in effect at once. */
async function adjust(host: SystemdHost, lines: string): Promise<void> {
  await host.must(
    "sh",
    "-c",
    `mkdir -p /run/systemd/system/weave.service.d && printf '${lines}' > /run/systemd/system/weave.service.d/test.conf`,
  );
  await host.must("systemctl", "daemon-reload");
}

const mainPid = (host: SystemdHost) => host.property("weave", "MainPID");
const connected = (host: SystemdHost, nickname: string) =>
  until(
    `${host.name} is connected to ${nickname}`,
    async () =>
      new RegExp(`established encrypted .*\\(${nickname}\\)`).test((await host.weave("status", "connections")).stdout),
    60_000,
  );

systemdTest(
  "launch uses the unit; a crash, a hang and a reboot bring the router back, with password, targets and bridge",
  { hosts: 2, timeout: 300_000, prepare: unpack },
  async ({ hosts: [h1, h2] }) => {
    for (const host of [h1, h2]) {
      const { code, stdout, stderr } = await host.weave("launch", "--password", PASSWORD, "--nickname", host.name);
      assert.deepEqual([code, stdout, stderr], [0, "weave.service\n", ""]);
    }
    assert.equal(await h1.property("weave", "ActiveState"), "active");
    assert.match(await h1.property("weave", "StatusText"), /^ready/);
    assert.equal((await h1.run("systemctl", "is-enabled", "weave")).stdout, "enabled\n");
    assert.equal((await h1.must("stat", "-c", "%a %U", "/var/lib/weave/launch-options.json")).trim(), "600 root");
    const again = await h1.weave("launch");
    assert.deepEqual([again.code, again.stderr], [3, "weave is already running; you can stop it with 'weave stop'.\n"]);
    await h1.ok("connect", h2.address);
    await connected(h1, "h2");
    assert.match(await h1.ok("status"), / Privileges: 9 capabilities, no new privileges, system calls filtered\n/);

    // A namespace that is named after the start is seen: mounts of the host reach the unit.
    await h1.must("ip", "netns", "add", "red");
    const red = (await h1.ok("attach", "netns:red")).trim();
    assert.match(red, /^10\./);

    const before = await mainPid(h1);
    await h1.must("sh", "-c", `kill -SEGV ${before}`);
    await until(
      "another router is there",
      async () => (await h1.weave("status")).code === 0 && (await mainPid(h1)) !== before,
      30_000,
    );
    await connected(h1, "h2");

    await adjust(h1, "[Service]\\nWatchdogSec=3\\n");
    await h1.ok("restart");
    const hanging = await mainPid(h1);
    assert.notEqual(hanging, before);
    await h1.must("sh", "-c", `kill -STOP ${hanging}`);
    await until("the watchdog has ended it", async () => (await mainPid(h1)) !== hanging, 30_000);
    await connected(h1, "h2");
    assert.match(await h1.journal(), /Watchdog timeout/);
    // The attachment has survived all this.
    assert.match(await h1.ok("ps"), new RegExp(red.replace("/", "\\/")));

    await h1.reboot();
    await until("the router is back", async () => (await h1.weave("status")).code === 0, 60_000);
    await connected(h1, "h2");
    assert.match(await h1.must("ip", "link", "show", "weave"), /weave/);

    // A password that has changed is used after a reboot, although the kept options have the earlier one.
    await h2.must("sh", "-c", "umask 077; echo another-secret >/root/next");
    await h2.ok("rekey", "--password-file", "/root/next", "--deadline", "1s");
    await until(
      "the earlier is gone",
      async () => (await h2.weave("report", "-f", "{{.Secret.EarlierUntil}}")).stdout.trim() === "",
      30_000,
    );
    await h1.reboot();
    await until("the router is back", async () => (await h1.weave("status")).code === 0, 60_000);
    await connected(h1, "h2");
    assert.match(await h1.ok("status"), /The network has another password now/);

    await h1.ok("stop");
    assert.equal(await h1.property("weave", "ActiveState"), "inactive");
    // The password is kept for the next boot: --resume needs no other.
    await h1.ok("launch", "--resume");
    await connected(h1, "h2");
    await h1.ok("stop");
    assert.match((await h1.weave("status")).stderr, /^weave is not running\. Have you launched it\?\n$/);
    await h2.ok("reset");
    assert.equal((await h2.run("systemctl", "is-enabled", "weave")).stdout, "disabled\n");
    assert.equal((await h2.run("test", "-e", "/var/lib/weave/launch-options.json")).code, 1);
    const score = (await h1.must("systemd-analyze", "security", "--no-pager", "weave.service"))
      .trim()
      .split("\n")
      .pop()!;
    console.log(score);
    assert.ok(Number(/: (\d+\.\d)/.exec(score)?.[1]) < 6, score);
  },
);

systemdTest(
  "what is wrong is said with its place, and does not start again and again",
  { hosts: 1, timeout: 300_000, prepare: unpack },
  async ({ hosts: [h1] }) => {
    writeFileSync(h1.path("/etc/weave/weave.env"), "WEAVE_MTU=9\n");
    const wrong = await h1.weave("launch");
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.stderr,
      /^invalid value "9" for WEAVE_MTU: it must be [^\n]*\nWEAVE_MTU is set in \/etc\/weave\/weave\.env\.\n$/,
    );
    assert.equal((await h1.run("test", "-e", "/var/lib/weave/launch-options.json")).code, 1);
    // As at a boot.
    assert.equal((await h1.run("systemctl", "start", "weave")).code, 1);
    assert.equal(await h1.property("weave", "ActiveState"), "failed");
    assert.equal(await h1.property("weave", "NRestarts"), "0");
    assert.match((await h1.weave("status")).stderr, /^weave is not running: invalid value "9" for WEAVE_MTU/);

    // The port is in use: a launch gives the reason, and leaves nothing running.
    writeFileSync(h1.path("/etc/weave/weave.env"), "WEAVE_PASSWORD=of-the-file\nWEAVE_ARGS=--nickname unit\n");
    const listen = 'require("net").createServer().listen(6783, () => console.log("ready"))';
    const taken = h1.spawn(["sh", "-c", 'echo $$ > /run/taken; exec /usr/lib/weave/node -e "$0"', listen]);
    await once(taken.stdout!, "data");
    const busy = await h1.weave("launch");
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, /6783/);
    assert.equal(await h1.property("weave", "ActiveState"), "inactive");
    assert.equal((await h1.run("systemctl", "is-enabled", "weave")).stdout, "disabled\n");
    await h1.must("sh", "-c", "kill $(cat /run/taken)");

    // Without a launch: the file alone.
    await h1.must("systemctl", "start", "weave");
    assert.match(await h1.ok("status"), /\(unit\)/);
    assert.match(await h1.ok("status"), /Encryption: enabled/);
    // A restart that could not succeed leaves the router alone.
    const running = await mainPid(h1);
    writeFileSync(h1.path("/etc/weave/weave.env"), "WEAVE_ARGS=--nosuch\n");
    const refused = await h1.weave("restart");
    assert.equal(refused.code, 125);
    assert.match(refused.stderr, /--nosuch\nWEAVE_ARGS is set in \/etc\/weave\/weave\.env\.\n$/);
    assert.equal(await mainPid(h1), running);
    writeFileSync(h1.path("/etc/weave/weave.env"), "WEAVE_ARGS=--nickname unit\n");
    await h1.ok("stop");
    // A flag of the launch wins.
    await h1.ok("launch", "--nickname", "typed");
    assert.match(await h1.ok("status"), /\(typed\)/);
    await h1.ok("stop");

    await h1.must("systemctl", "mask", "weave");
    const masked = await h1.weave("launch");
    assert.equal(masked.code, 1);
    assert.match(
      masked.stderr,
      /^weave\.service is masked: systemd may not start it\n'systemctl unmask weave' permits it/,
    );
    await h1.must("systemctl", "unmask", "weave");
    await h1.must(
      "sh",
      "-c",
      "printf '[Service]\\nExecStart=/usr/local/bin/other launch --foreground\\n' > /etc/systemd/system/weave.service && systemctl daemon-reload",
    );
    const foreign = await h1.weave("launch");
    assert.equal(foreign.code, 0, foreign.stderr);
    assert.match(
      foreign.stderr,
      /^WARNING: weave\.service is not used: it is not weave's own, or of another version\./,
    );
    await h1.ok("stop");
  },
);

systemdTest(
  "setup --network-managers keeps systemd-networkd off weave's interfaces; reset removes its file",
  { hosts: 1, timeout: 120_000, prepare: unpack },
  async ({ hosts: [h1] }) => {
    assert.match(await h1.ok("setup"), /^managers +ok +neither NetworkManager nor systemd-networkd is in use$/m);
    writeFileSync(
      h1.path("/etc/systemd/network/10-all.network"),
      "[Match]\nName=*\n\n[Network]\nLinkLocalAddressing=no\nKeepConfiguration=yes\n",
    );
    await h1.must("systemctl", "start", "systemd-networkd");
    await h1.ok("launch");
    const state = async () =>
      /^\s*\d+ weave +bridge +\S+ +(\S+)/m.exec(await h1.must("networkctl", "--no-pager", "list"))?.[1];
    await until(
      "networkd manages the bridge",
      async () => !["unmanaged", "pending", undefined].includes(await state()),
    );
    assert.match(
      await h1.ok("setup"),
      /^managers +limited +systemd-networkd may change weave's interfaces\. 'weave setup --network-managers'/m,
    );
    assert.equal(await h1.ok("setup", "--network-managers"), "wrote /etc/systemd/network/05-weave.network\n");
    await until("networkd leaves it alone", async () => (await state()) === "unmanaged");
    assert.match(await h1.ok("setup"), /^managers +ok +systemd-networkd: weave's interfaces are left alone$/m);
    await h1.ok("reset", "--force");
    assert.equal((await h1.run("test", "-e", "/etc/systemd/network/05-weave.network")).code, 1);
  },
);

systemdTest(
  "a router that does not receive the host's mounts finds namespaces that were named after its start",
  { hosts: 1, timeout: 120_000, prepare: unpack },
  async ({ hosts: [h1] }) => {
    // As one that was launched from a shell with private mounts.
    await h1.must("unshare", "--mount", "--propagation", "private", "weave", "launch", "--no-restart");
    await h1.must("ip", "netns", "add", "red");
    const address = (await h1.ok("attach", "netns:red")).trim();
    assert.match(await h1.must("ip", "-n", "red", "address", "show", "ethwe"), new RegExp(`inet ${address}/`));
    assert.match(await h1.ok("ps"), new RegExp(`^red .*${address}/`, "m"));
    assert.match((await h1.weave("attach", "netns:none")).stderr, /^network namespace netns:none not found/);
    assert.equal((await h1.ok("detach", "netns:red")).trim(), address);
  },
);

/** Hosts that have a Docker engine, too. */
const withDocker = {
  packages: ["docker.io", "iptables", "busybox-static"],
  async prepare(host: SystemdHost) {
    await unpack(host);
    mkdirSync(host.path("/etc/docker"), { recursive: true });
    // The root of this host is an overlay, which Docker's own overlay cannot lie on.
    writeFileSync(host.path("/etc/docker/daemon.json"), '{"storage-driver": "vfs"}\n');
  },
};

systemdTest(
  "with Docker: the unit starts before it, proxy and plugin work under the unit's restrictions, and containers come back after a reboot",
  { hosts: 1, timeout: 300_000, ...withDocker },
  async ({ hosts: [h1] }) => {
    await h1.ok("launch");
    const archive =
      "mkdir -p /r/bin /r/etc && cp /bin/busybox /r/bin && for a in sh sleep ping ip; do ln -s busybox /r/bin/$a; done && tar -C /r -c .";
    await h1.must("sh", "-c", `(${archive}) | docker import -c 'CMD ["/bin/sh"]' - busybox`);
    const docker = (...args: string[]) => h1.must("sh", "-c", 'eval "$(weave env)"; exec docker "$@"', "sh", ...args);
    await docker("run", "-d", "--restart=always", "--name", "by-proxy", "busybox", "sleep", "1000000");
    await docker(
      "run",
      "-d",
      "--restart=always",
      "--net",
      "weave",
      "--name",
      "by-plugin",
      "busybox",
      "sleep",
      "1000000",
    );
    await h1.ok("attach", "--rewrite-hosts", "by-plugin");
    const addresses = async () =>
      Promise.all(
        ["by-proxy", "by-plugin"].map(async (name) => {
          const shown = await h1.run("docker", "exec", name, "ip", "-4", "-o", "address");
          return /ethwe0? +inet (\S+)/.exec(shown.stdout)?.[1];
        }),
      );
    const before = await addresses();
    assert.ok(
      before.every((address) => address?.startsWith("10.3")),
      before.join(" "),
    );
    const reaches = () => h1.run("docker", "exec", "by-proxy", "ping", "-c", "1", "-W", "2", "by-plugin");
    assert.equal((await reaches()).code, 0);
    assert.equal(
      await h1.must("journalctl", "--unit", "weave", "--priority", "warning", "--output", "cat", "--quiet"),
      "",
    );

    await h1.reboot();
    await until(
      "the containers are there again, and reach each other",
      async () => (await reaches()).code === 0,
      90_000,
    );
    assert.doesNotMatch(await h1.ok("status"), /Problem/);
    const [ready, started] = await Promise.all(
      ["ActiveEnterTimestampMonotonic", "ExecMainStartTimestampMonotonic"].map((name, index) =>
        h1.property(["weave", "docker"][index], name),
      ),
    );
    assert.ok(
      Number(ready) <= Number(started),
      `the router was ready at ${ready} µs, Docker was started at ${started}`,
    );
  },
);

systemdTest(
  "after launches by unit and by container, a reboot brings back the router of the last one, and no second",
  { hosts: 1, timeout: 500_000, ...withDocker },
  async ({ hosts: [h1], folder }) => {
    cpSync(await routerImage(folder, "weave:test"), h1.path("/root/router.tar"));
    await h1.must("docker", "load", "--quiet", "--input", "/root/router.tar");
    const comesBack = async () => {
      await h1.reboot();
      await until("a router answers", async () => (await h1.weave("status")).code === 0, 90_000);
      await until("Docker answers", async () => (await h1.run("docker", "version")).code === 0, 90_000);
      assert.equal((await h1.must("pgrep", "--count", "--full", "router/main.js")).trim(), "1");
      return h1.report("{{.Supervision}}");
    };
    await h1.ok("launch");
    await h1.ok("stop");
    await h1.ok("launch", "--image", "weave:test");
    assert.equal((await h1.run("systemctl", "is-enabled", "weave")).stdout.trim(), "disabled");
    assert.equal(await comesBack(), "container");
    await h1.ok("stop");
    await h1.ok("launch");
    assert.equal(await comesBack(), "systemd");
    // A process does not come back: the boot is the unit's.
    await h1.ok("stop");
    await h1.ok("launch", "--no-restart");
    assert.equal(await comesBack(), "systemd");
  },
);
