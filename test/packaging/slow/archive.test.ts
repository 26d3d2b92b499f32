import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { changes, type Footprint, footprint } from "#test/lab/footprint.js";
import { must } from "#test/lab/namespace.js";
import { makeRelease, type Release, VERSION } from "#test/lab/releases.js";
import { type SystemdHost, systemdTest } from "#test/lab/systemd-host.js";

/** The archive on Debian 12 with systemd, and that archive and Debian package are reproducible. */

const NEXT = "9.1.0";
/** Kept by systemd for itself. */
const OTHERS = [/^(file|content) \/?(var\/(lib\/systemd|log\/journal)|run\/(systemd|log|lock|udev|dbus))/];

let folder: string;
const releases: Release[] = [];

before(async () => {
  if (process.getuid?.() !== 0) return;
  folder = mkdtempSync(join(tmpdir(), "weave-archive-"));
  for (const version of [VERSION, NEXT]) releases.push(await makeRelease(folder, ["archive"], version));
});
after(() => folder !== undefined && rmSync(folder, { recursive: true, force: true }));

async function fetched(host: SystemdHost): Promise<void> {
  mkdirSync(host.path("/srv"), { recursive: true });
  for (const { version, folder: release } of releases)
    cpSync(release, host.path(`/srv/${version}`), { recursive: true });
}

const leftovers = (from: Footprint, to: Footprint) => changes(from, to, OTHERS);

systemdTest(
  "install.sh with systemd: launch by the unit, an upgrade keeps changed settings, nothing is left at the end",
  { hosts: 1, timeout: 200_000, prepare: fetched },
  async ({ hosts: [h1] }) => {
    const empty = await footprint(h1);
    await h1.must(`/srv/${VERSION}/install.sh`);
    assert.match(
      await h1.must("systemctl", "cat", "weave"),
      /^ExecStart=\/usr\/local\/bin\/weave launch --supervised/m,
    );
    await h1.launch();
    assert.equal(await h1.property("weave", "ActiveState"), "active");
    // A password can be in it.
    assert.equal((await h1.must("stat", "-c", "%a", "/etc/weave/weave.env")).trim(), "600");
    await h1.must("sh", "-c", "echo '# changed' >> /etc/weave/weave.env");
    const upgraded = await h1.must(`/srv/${NEXT}/install.sh`, "--restart");
    assert.match(upgraded, /in place of .*The router was restarted, and is of version 9\.1\.0/s);
    assert.equal((await h1.report("{{.Version}}")).trim(), NEXT);
    assert.equal(await h1.property("weave", "ActiveState"), "active");
    await h1.must("grep", "-q", "# changed", "/etc/weave/weave.env");
    // Without --purge the settings of the user and the state stay.
    const removed = await h1.must("/usr/local/lib/weave/install.sh", "--uninstall");
    assert.match(removed, /\/etc\/weave\/weave\.env was changed, and stays/);
    assert.equal(await h1.property("weave", "LoadState"), "not-found");
    const kept = leftovers(empty, await footprint(h1)).filter((line) => / (file|content|unit) /.test(line));
    const state = /^\+ (file|content) \/?(etc\/weave|var\/lib\/weave|var\/log\/weave|run\/weave)/;
    assert.deepEqual(
      kept.filter((line) => !state.test(line)),
      [],
    );
    await h1.must(`/srv/${NEXT}/install.sh`);
    await h1.launch("--resume");
    await h1.must("/usr/local/lib/weave/install.sh", "--uninstall", "--purge");
    assert.deepEqual(leftovers(empty, await footprint(h1)), []);
  },
);

test("archives and Debian packages of equal inputs are equal, wherever and whenever they are made", async () => {
  const again = join(folder, "again");
  const bundle = join(folder, "copied-bundle");
  cpSync(builtBundle(), bundle, { recursive: true });
  for (const file of readdirSync(bundle, { recursive: true, encoding: "utf8" })) utimesSync(join(bundle, file), 1, 1);
  const sums: string[] = [];
  for (const [from, umask] of [
    [builtBundle(), "022"],
    [bundle, "077"],
  ] as const) {
    rmSync(again, { recursive: true, force: true });
    for (const kind of ["archive", "deb"])
      await must(
        "sh",
        "-c",
        `umask ${umask} && SOURCE_DATE_EPOCH=1700000000 ${ROOT}scripts/build/${kind}.sh --fast --bundle ${from} --out ${again}`,
      );
    sums.push(await must("sh", "-c", `cd ${again} && sha256sum *`));
  }
  assert.equal(sums[0].trim().split("\n").length, 5);
  assert.equal(sums[0], sums[1]);
});
