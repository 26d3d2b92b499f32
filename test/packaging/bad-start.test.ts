import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { nothingRuns } from "#test/lab/router-process.js";

/** What can be wrong with a host or an installation when weave starts, and what its user reads. */

/** Programs that run a command with a changed view of the host, in a mount namespace of its own. @param change shell code */
const changed = (change: string): string[] => {
  const code = `set -eu; run=$WEAVE_RUN_DIR state=$WEAVE_STATE_DIR; mkdir -p "$run" "$state"; ${change}\nexec "$@"`;
  return ["unshare", "--mount", "--propagation", "private", "bash", "-c", code, "bash"];
};

/** A message names what is wrong, and the next step on its second line. */
async function fails(
  host: Host,
  via: readonly string[],
  expected: readonly [what: RegExp, next: RegExp],
  ...args: string[]
) {
  const { code, stdout, stderr } = await host.weaveVia(via, ...(args.length === 0 ? ["launch"] : args));
  const [first, second = "", ...more] = stderr.trimEnd().split("\n");
  assert.match(first, expected[0]);
  assert.match(second, expected[1], stderr);
  assert.deepEqual([code, stdout, more], [1, "", []], stderr);
  await nothingRuns(host);
}

const HOSTS: readonly (readonly [string, what: RegExp, next: RegExp])[] = [
  [
    'mount -t tmpfs none "$run"; mount -o remount,ro "$run"',
    /^cannot write to \/.*\/run: EROFS/,
    /mount it writable, or choose another folder by WEAVE_RUN_DIR/,
  ],
  [
    'mount -t tmpfs -o size=64k none "$run"; head -c 48k /dev/zero >"$run/most"',
    /^\/.*\/run has less than 64 KB left$/,
    /^'df \/.*\/run' shows what is full/,
  ],
  [
    'rmdir "$run"; touch "$run"',
    /^cannot write to \/.*\/run: EEXIST/,
    /^Another kind of file has this name: move it away/,
  ],
  [
    'mount -t tmpfs none "$state"; mount -o remount,ro "$state"',
    /^cannot open the database \/.*weavedata\.db: .*[Rr]ead-only/,
    /mount it writable/,
  ],
  [
    'mount -t tmpfs -o size=64k none "$state"; cat /dev/zero >"$state/full" 2>/dev/null || true',
    /^cannot open the database .*no space left/,
    /^'df \/.*\/state' shows what is full/,
  ],
  ['rmdir "$state"; touch "$state"', /^cannot open the database .*EEXIST/, /^Another kind of file has this name/],
  [
    "mount -t tmpfs none /dev/net",
    /: ENOENT: there is no \/dev\/net\/tun$/,
    /^Load the driver with 'modprobe tun'; in a container, pass --device/,
  ],
  [
    "mount -t tmpfs none /dev/net; mknod /dev/net/tun c 240 255",
    /: ENXIO: there is no driver for \/dev\/net\/tun$/,
    /'modprobe tun'/,
  ],
  [
    "mount -t tmpfs none /dev/net; touch /dev/net/tun",
    /: ENOTTY: \/dev\/net\/tun is no TUN device/,
    /mknod \/dev\/net\/tun c 10 200/,
  ],
  [
    "mount --bind /dev/net /dev/net; mount -o remount,bind,nodev /dev/net",
    /: EACCES: this root may not use \/dev\/net\/tun/,
    /--device \/dev\/net\/tun and --cap-add NET_ADMIN/,
  ],
];

labTest(
  "a host that lacks something: launch names it and the next step, and leaves nothing running",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [host], folder }) => {
    for (const [change, what, next] of HOSTS) {
      await fails(host, changed(change), [what, next]);
      for (const place of ["run", "state"]) rmSync(join(host.folder, place), { recursive: true, force: true });
    }
    await fails(
      host,
      ["setarch", process.arch === "arm64" ? "aarch64" : "x86_64", "--uname-2.6"],
      [/^Linux 2\.6\.\S+ is too old: weave needs 4\.18 or later$/, /^Upgrade the kernel/],
    );
    const capable = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    await fails(host, capable, [/: EPERM: this root may not use .* or lacks CAP_NET_ADMIN$/, /--cap-add NET_ADMIN/]);
    // The log is where it was: a later launch of the same host works.
    await host.launch();
    await host.ok("stop");
    assert.ok(folder !== "");
  },
);

labTest(
  "setup ends with one command of this distribution for all packages that are missing, and changes nothing",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [host] }) => {
    const programs = `mkdir "$run/bin"; for each in env node nsenter; do ln -s "$(command -v $each)" "$run/bin"; done`;
    const distribution = `printf 'ID=rocky\\nID_LIKE="rhel fedora"\\n' >"$run/os-release"; mount --bind "$run/os-release" "$(readlink -f /etc/os-release)"`;
    // Firewall tools are also looked for in folders that PATH lacks.
    const tools = `for each in nft iptables-restore; do mount --bind /dev/null "$(readlink -f "$(command -v $each)")"; done`;
    const via = changed(`${programs}; ${distribution}; ${tools}; export PATH="$run/bin"`);
    const { code, stdout, stderr } = await host.weaveVia(via, "setup");
    assert.deepEqual([code, stderr], [1, ""]);
    assert.match(stdout, /^ip +MISSING +ip utility is missing\. Please install iproute2\.$/m);
    assert.match(stdout, /^firewall +limited +neither nft nor iptables/m);
    assert.match(stdout, /\n\nInstall as root:\n {2}dnf install iproute nftables\n$/);
    await nothingRuns(host);
  },
);

labTest(
  "a router that may not enter namespaces reports it to attach",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [host] }) => {
    const container = await host.container("c1");
    const launch = await host.weaveVia(["setpriv", "--bounding-set=-sys_admin"], "launch", "--name", host.peerName);
    assert.equal(launch.code, 0, launch.stderr);
    const { code, stderr } = await host.weave("attach", `netns:${container.ns}`);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^cannot enter the network namespace \S+: nsenter: .*Operation not permitted\nThe router lacks CAP_SYS_ADMIN: .*--cap-add SYS_ADMIN/,
    );
    assert.equal((await container.run("ip", "link", "show", "ethwe")).code, 1);
  },
);

const ROOTLESS = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

labTest(
  "without root, commands that change something point to sudo, and others work",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [host], folder }) => {
    await host.launch();
    // All users may follow the way to the sockets; the lab's own folder is closed to them.
    await host.must("chmod", "go+x", folder, host.folder);
    const changing = [
      "launch",
      "connect 192.0.2.1",
      "forget 192.0.2.1",
      "prime",
      "attach netns:none",
      "detach netns:none",
      "expose",
      "hide",
      "dns-add 192.0.2.1 -h x",
      "dns-remove 192.0.2.1 -h x",
      "rmpeer x",
      "trust forget x",
      "stop",
      "restart",
      "reset",
    ];
    for (const command of changing) {
      const { code, stderr } = await host.weaveVia(ROOTLESS, ...command.split(" "));
      assert.deepEqual(
        [code, stderr],
        [1, "weave must be run as 'root' when run locally\nTry it with sudo.\n"],
        command,
      );
    }
    for (const command of [
      "status",
      "status peers",
      "report",
      "version",
      "dns-lookup x",
      "ipam explain",
      "identity",
      "trust",
    ])
      assert.equal((await host.weaveVia(ROOTLESS, ...command.split(" "))).code, 0, command);
  },
);

/** A copy of the bundle, which a test may damage. */
function installation(folder: string): string {
  const copy = join(folder, "installation");
  cpSync(builtBundle(), copy, { recursive: true });
  return copy;
}

labTest(
  "restart with an incomplete installation fails while the old router still runs",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [host], folder }) => {
    const place = installation(folder);
    host.weaveCommand = [join(place, "bin/weave")];
    await host.ok("launch", "--name", host.peerName);
    const router = host.routerPid;
    rmSync(join(place, `native/linux-${process.arch}/supervisor`));
    const restart = await host.weave("restart");
    assert.deepEqual([restart.code, host.routerPid], [1, router], restart.stderr);
    assert.match(restart.stderr, /native\/linux-\w+\/supervisor is missing\n/);
  },
);

labTest(
  "after an upgrade without a restart, version and status report that the router is of another version",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [host], folder }) => {
    const place = installation(folder);
    const [now, other] = [(await host.ok("version")).split("\n")[0].replace("weave command ", ""), "9.8.7"];
    const scripts = readdirSync(join(place, "lib"), { recursive: true, encoding: "utf8" });
    for (const file of scripts.filter((name) => name.endsWith(".js")).map((name) => join("lib", name))) {
      const text = readFileSync(join(place, file), "utf8");
      writeFileSync(join(place, file), text.replaceAll(`var VERSION = "${now}"`, `var VERSION = "${other}"`));
    }
    host.weaveCommand = [join(place, "bin/weave")];
    await host.ok("launch", "--name", host.peerName);
    const quiet = await host.weave("version");
    assert.deepEqual([quiet.stdout, quiet.stderr], [`weave command ${other}\nweave ${other}\n`, ""]);
    // The command of this checkout stands for the version that was installed since.
    const { stdout, stderr } = spawnSync(process.execPath, [join(ROOT, "bin/weave"), "version"], {
      encoding: "utf8",
      env: { ...process.env, ...host.environment },
    });
    const note = `The router still runs version ${other}, and this command is ${now}: 'weave restart' starts the router of ${now}.\n`;
    assert.deepEqual([stdout, stderr], [`weave command ${now}\nweave ${other}\n`, note]);
    const status = spawnSync(process.execPath, [join(ROOT, "bin/weave"), "status"], {
      encoding: "utf8",
      env: { ...process.env, ...host.environment },
    });
    assert.deepEqual([status.status, status.stderr], [0, note]);
  },
);

labTest(
  "a managed plugin whose router cannot even be started tries again",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1] }) => {
    // Settings that are too long for a command line: Node throws the error of such a start, instead of emitting it.
    const code = `mount -t tmpfs none /run; mkdir -p /run/docker/plugins; : >/run/id; mount --bind /run/id /etc/machine-id
      ulimit -s 2048; export EXTRA_ARGS="$(yes a | head -n 50000 | tr '\\n' ' ')"
      timeout -k 1 3 "$@"`;
    const plugin = [process.execPath, join(ROOT, "dist/router/managed-plugin.js"), "/bin/false"];
    const { stdout } = await h1.run(
      "unshare",
      "--mount",
      "--propagation",
      "private",
      "bash",
      "-c",
      code,
      "bash",
      ...plugin,
    );
    assert.match(
      stdout,
      /started again after 100 ms: cannot start \/bin\/false: spawn E2BIG.*started again after 200 ms/s,
    );
  },
);
