import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { changes, type Footprint, footprint } from "#test/lab/footprint.js";
import { Traffic } from "#test/lab/interruption.js";
import { must, Namespace } from "#test/lab/namespace.js";
import { makeRelease, type Release, VERSION } from "#test/lab/releases.js";
import { programMissing } from "#test/lab/requirements.js";
import { type SystemdHost, systemdTest } from "#test/lab/systemd-host.js";
import { connected, until } from "#test/lab/wait.js";

/** The Debian package, on Debian 12 with its own systemd. */

const NEXT = "9.1.0";
/** Kept by apt, dpkg and systemd for themselves. */
const OTHERS = [
  /^(file|content) \/?(var\/(cache|lib\/(apt|dpkg|systemd)|log\/(apt|journal|dpkg|alternatives))|run\/(systemd|log|lock|udev|dbus))/,
  /^file \/(tmp|var\/tmp)\/systemd-private/,
];

let folder: string;
const releases: Release[] = [];

before(async () => {
  if (process.getuid?.() !== 0) return;
  folder = mkdtempSync(join(tmpdir(), "weave-deb-"));
  for (const version of [VERSION, NEXT]) releases.push(await makeRelease(folder, ["deb"], version));
});
after(() => folder !== undefined && rmSync(folder, { recursive: true, force: true }));

const place = (host: SystemdHost, version: string) => host.path(`/srv/weave-${version}.deb`);

/** The packages are on the host before it boots, as if they were fetched. */
async function fetched(host: SystemdHost): Promise<void> {
  for (const { version, deb } of releases) {
    mkdirSync(dirname(place(host, version)), { recursive: true });
    copyFileSync(deb, place(host, version));
  }
}

const apt = (host: SystemdHost, ...args: string[]) =>
  host.must("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", ...args);
const install = (host: SystemdHost, version: string) =>
  apt(host, "install", "--allow-downgrades", `/srv/weave-${version}.deb`);
const statusOf = async (host: SystemdHost) =>
  (await host.run("dpkg-query", "-W", "-f", `\${Status} \${Version}`, "weave")).stdout;
/** The version of the router that runs. */
const running = (host: SystemdHost) => host.report("{{.Version}}").then((text) => text.trim());

/** Differences without what apt, dpkg and systemd keep. */
const leftovers = (before: Footprint, after: Footprint) => changes(before, after, OTHERS);

/** A namespace of a host, entered with this machine's programs. */
class Container extends Namespace {
  protected override get enter(): readonly string[] {
    return ["nsenter", `--net=${this.ns}`, "--"];
  }
}

async function attach(host: SystemdHost, name: string, cidr: string): Promise<Container> {
  await host.must("ip", "netns", "add", name);
  await host.must("ip", "-n", name, "link", "set", "lo", "up");
  await host.ok("attach", cidr, `netns:${name}`);
  return new Container(host.path(`/run/netns/${name}`));
}

test("lintian finds nothing in the package that is not explained", {
  skip: programMissing("lintian", "lintian") ?? false,
}, async () => {
  assert.equal(
    await must("lintian", "--allow-root", "--fail-on", "none", "--no-tag-display-limit", releases[0].deb),
    "",
  );
});

test("the package depends on the libraries that its programs need", {
  skip: programMissing("objdump", "binutils") ?? false,
}, async () => {
  const root = join(folder, "unpacked");
  await must("dpkg-deb", "-x", releases[0].deb, root);
  const symbols = await must("sh", "-c", `find ${root} -name node -type f -o -name '*.node' | xargs objdump -T`);
  const newest = (name: string) =>
    [...symbols.matchAll(new RegExp(`\\b${name}_(\\d+)\\.(\\d+)(?:\\.(\\d+))?`, "g"))]
      .map((match) => match.slice(1).map((part) => Number(part ?? 0)))
      .reduce((a, b) => ((a[0] - b[0] || a[1] - b[1] || a[2] - b[2]) > 0 ? a : b));
  const depends = await must("dpkg-deb", "-f", releases[0].deb, "Depends");
  const [, libc] = /libc6 \(>= 2\.(\d+)\)/.exec(depends)!;
  assert.ok(newest("GLIBC")[1] <= Number(libc), `${newest("GLIBC")}`);
  // GCC 11's library has the symbols of GLIBCXX_3.4.29 (https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html).
  assert.match(depends, /libstdc\+\+6 \(>= 11\)/);
  assert.ok(newest("GLIBCXX")[2] <= 29, `${newest("GLIBCXX")}`);
  const needed = await must(
    "sh",
    "-c",
    `find ${root} -name node -type f -o -name '*.node' | xargs objdump -p | sed -n 's/^ *NEEDED *//p' | sort -u`,
  );
  const [of, inLibc] = [/^(libc|libm|libdl|libpthread|ld-linux.*|libstdc\+\+|libgcc_s)\.so/, needed.trim().split("\n")];
  assert.deepEqual(
    inLibc.filter((library) => !of.test(library)),
    [],
  );
});

systemdTest(
  "the package: installed, upgraded under traffic, downgraded, removed with its state kept, purged without a trace",
  { hosts: 2, timeout: 300_000, prepare: fetched },
  async ({ hosts: [h1, h2] }) => {
    // The first named namespace makes /run/netns, which stays.
    await h1.must("sh", "-c", "ip netns add first && ip netns delete first");
    const before = await footprint(h1);
    await Promise.all([h1, h2].map((host) => install(host, VERSION)));
    await h1.launch();
    assert.equal(await h1.property("weave", "ActiveState"), "active");
    await h2.launch(h1.address);
    await connected(h1, 1);
    const c1 = await attach(h1, "c1", "10.32.0.1/12");
    const c2 = await attach(h2, "c2", "10.32.0.2/12");
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2", { count: 1 })) === 1);

    for (const version of [NEXT, VERSION, NEXT]) {
      const traffic = await Traffic.start(c1, c2, "10.32.0.2");
      try {
        await until("the traffic flows", () => traffic.answers > 100);
        await install(h1, version);
        const answers = traffic.answers;
        await until("the traffic flows again", () => traffic.answers > answers + 200);
        const { pingMs, tcpMs, connections } = await traffic.end();
        console.log(
          `upgrade to ${version}: no ping was answered for ${pingMs} ms, no byte came by TCP for ${tcpMs} ms`,
        );
        assert.equal(connections, 1);
      } finally {
        traffic.kill();
      }
      assert.equal(await running(h1), version);
      assert.equal(await h1.property("weave", "ActiveState"), "active");
    }

    await apt(h1, "remove", "weave");
    assert.match(await statusOf(h1), /^deinstall ok config-files/);
    assert.notEqual((await h1.run("sh", "-c", "command -v weave")).code, 0);
    for (const kept of ["/var/lib/weave/weavedata.db", "/etc/weave/weave.env"]) await h1.must("test", "-e", kept);
    // Installed again it is the same peer: its containers are still on the bridge.
    await install(h1, NEXT);
    await h1.launch("--resume");
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2", { count: 1 })) === 1);
    await h1.ok("expose");
    await h1.must("mkdir", "-p", "/etc/cni/net.d");
    await h1.ok("setup-cni");
    const made = leftovers(before, await footprint(h1));
    for (const each of [
      /file \/opt\/cni\/bin\/weave-net/,
      /content etc\/cni\/net\.d\/10-weave\.conflist/,
      /link weave$/,
      /nft .*"weave"/,
      /route .*dev weave/,
      /file \/usr\/bin\/weave/,
      /unit weave\.service/,
      /content etc\/weave/,
    ])
      assert.ok(
        made.some((line) => each.test(line)),
        `${each}`,
      );

    await apt(h1, "purge", "weave");
    await h1.must("rmdir", "/etc/cni/net.d", "/etc/cni");
    await h1.must("ip", "netns", "delete", "c1");
    assert.deepEqual(leftovers(before, await footprint(h1)), []);
  },
);

systemdTest(
  "a dpkg that is killed midway is completed by another run, and the router runs",
  { hosts: 1, timeout: 300_000, prepare: fetched },
  async ({ hosts: [h1] }) => {
    await install(h1, VERSION);
    await h1.launch();
    // Killed while it unpacks (it renames each file), and after that, before the package is configured.
    for (const [when, state] of [
      [
        "dpkg --unpack /srv/weave-9.1.0.deb & while ! ls /usr/lib/weave/*.dpkg-new; do :; done; kill -9 $!; wait",
        /half-installed|unpacked/,
      ],
      ["dpkg --unpack /srv/weave-9.1.0.deb", /unpacked/],
    ] as const) {
      await h1.run("sh", "-c", when);
      assert.match(await statusOf(h1), state);
      assert.equal(await running(h1), VERSION);
      // What apt's error names. It completes what is unpacked; the rest needs the package again.
      await h1.run("dpkg", "--configure", "-a");
      await install(h1, NEXT);
      assert.match(await statusOf(h1), /^install ok installed 9\.1\.0/);
      assert.equal(await running(h1), NEXT);
      await install(h1, VERSION);
      assert.equal(await running(h1), VERSION);
    }
    await apt(h1, "purge", "weave");
  },
);
