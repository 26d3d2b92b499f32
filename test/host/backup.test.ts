import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { databaseFile } from "#src/paths.js";
import { readDatabase } from "#src/store-lmdb.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { environmentOf } from "#test/lab/router-process.js";
import { connected, until } from "#test/lab/wait.js";

/** Makes every link(2) fail as on a file system without links. */
const WITHOUT_LINKS = {
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(
    'import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module"; fs.linkSync = () => { throw Object.assign(new Error("EPERM"), { code: "EPERM" }); }; syncBuiltinESMExports();',
  )}`,
};

const filesBeside = (host: Host) => readdirSync(dirname(databaseFile(host.databasePrefix))).sort();
const contents = (host: Host) => readDatabase(databaseFile(host.databasePrefix));

labTest(
  "a backup of a running router brings back name, key, addresses, names, targets and exposed addresses after a reset",
  { hosts: 2, timeout: 180_000 },
  async ({ hosts: [h1, h2], folder }) => {
    await h1.launch();
    await h2.launch("--ipalloc-init", "consensus=2", h1.address);
    const container = await h2.container("c");
    const address = (await h2.ok("attach", "net:default", "--name", "db", `netns:${container.ns}`)).trim();
    const exposed = (await h2.ok("expose")).trim();
    await until("the name is known at h1", async () => (await h1.ok("dns-lookup", "db")).trim() === address);
    const file = join(folder, "h2.backup");
    const made = await h2.weave("backup", file);
    assert.deepEqual([made.code, made.stdout], [0, ""]);
    assert.match(
      made.stderr,
      new RegExp(`^The state of peer ${h2.peerName} is in ${file}\\. It contains private keys`),
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const again = await h2.weave("backup", file);
    assert.deepEqual([again.code, again.stderr.split("\n")[0]], [1, `${file} exists already`]);

    // A disk without links, such as FAT: there, too, no file is replaced.
    for (const [to, code] of [
      [`${file}-fat`, 0],
      [file, 1],
    ] as const)
      assert.equal((await h2.weaveWith(WITHOUT_LINKS, "backup", to)).code, code);
    assert.equal((await h2.weave("restore", `${file}-fat`)).code, 3, "the router runs, and the file is a backup");
    assert.equal(statSync(`${file}-fat`).mode & 0o777, 0o600);

    const running = await h2.weave("restore", file);
    assert.deepEqual(
      [running.code, running.stderr],
      [3, "the router runs: its state cannot be replaced now\nRun 'weave stop' first.\n"],
    );
    const keep = ["secret", "identity", "identitySince", `trust/pin/${h1.peerName}`];
    const kept = async () => (await contents(h2)).filter(([name]) => keep.includes(name));
    const before = await kept();
    assert.equal(before.length, keep.length);
    // As after the loss of the disk: the other peer keeps the addresses of this one.
    await h2.ok("stop");
    await h2.ok("reset", "--force");
    assert.deepEqual(
      readdirSync(h2.folder).filter((name) => name === "state"),
      [],
    );
    const restored = await h2.weave("restore", file);
    assert.equal(restored.code, 0, restored.stderr);
    assert.deepEqual(await kept(), before);
    await h2.ok("launch", "--resume", "--nickname", h2.name);
    await connected(h2, 1, 30_000);
    assert.match(await h2.ok("status"), new RegExp(`Name: ${h2.peerName}\\(h2\\)`));
    assert.equal((await h2.ok("status", "targets")).trim(), h1.address);
    assert.equal((await h2.ok("attach", "net:default", "--name", "db", `netns:${container.ns}`)).trim(), address);
    assert.equal((await h2.ok("expose")).trim(), exposed);
    await until("the name is known at h1", async () => (await h1.ok("dns-lookup", "db")).trim() === address);
  },
);

labTest(
  "a restore that is killed leaves the old state or the new one; by standard input and output, and of another machine by force",
  { hosts: 1, timeout: 180_000 },
  async ({ hosts: [h1], folder }) => {
    await h1.launch();
    await h1.ok("connect", "192.0.2.9");
    const weave = [...h1.weaveCommand].join(" ");
    const shell = (script: string) => h1.runWith(h1.environment, "sh", "-c", script);
    const piped = await shell(`${weave} backup - >${folder}/a`);
    assert.deepEqual([piped.code, piped.stderr], [0, ""]);
    await h1.ok("forget", "192.0.2.9");
    await h1.ok("stop");
    const [old, file] = [await contents(h1), join(folder, "a")];

    const bytes = readFileSync(file);
    for (const [name, damaged] of [
      ["truncated", bytes.subarray(0, bytes.length - 40)],
      ["foreign", Buffer.from("-----BEGIN PGP MESSAGE-----\n")],
      ["empty", Buffer.alloc(0)],
    ] as const) {
      writeFileSync(join(folder, name), damaged);
      const { code, stderr } = await h1.weave("restore", join(folder, name));
      assert.deepEqual([code, stderr.startsWith(join(folder, name))], [1, true], stderr);
    }
    for (const path of [join(folder, "none"), folder]) {
      const { code, stderr } = await h1.weave("restore", path);
      assert.deepEqual([code, stderr.startsWith(`cannot read ${path}: `)], [1, true], stderr);
    }
    assert.deepEqual(await contents(h1), old);

    for (let delay = 100; delay < 900; delay += 100) {
      const child = h1.spawn(["env", ...environmentOf(h1), ...h1.weaveCommand, "restore", file]);
      const ended = new Promise((resolve) => child.once("close", resolve));
      await sleep(delay);
      child.kill("SIGKILL");
      await ended;
      const targets = (await contents(h1)).find(([name]) => name === "directPeers")?.[1];
      assert.ok(Array.isArray(targets) && targets.length <= 1, JSON.stringify(targets));
    }
    const { code, stderr } = await shell(`${weave} restore - <${folder}/a`);
    assert.equal(code, 0, stderr);
    const aside = /The replaced database is (\S+)\.\n/.exec(stderr)?.[1];
    assert.ok(aside !== undefined && statSync(aside).isFile(), stderr);
    assert.equal(
      filesBeside(h1).some((name) => name.includes("draft")),
      false,
    );

    writeFileSync(join(folder, "machine-id"), "0123456789abcdef0123456789abcdef\n");
    const elsewhere = `mount --bind ${folder}/machine-id /etc/machine-id 2>/dev/null || exit 77; exec ${weave} restore`;
    const other = await h1.runWith(h1.environment, "unshare", "--mount", "sh", "-c", `${elsewhere} ${file}`);
    if (other.code !== 77) {
      assert.deepEqual([other.code, other.stderr.includes("a backup of another machine")], [1, true], other.stderr);
      const forced = await h1.runWith(h1.environment, "unshare", "--mount", "sh", "-c", `${elsewhere} --force ${file}`);
      assert.equal(forced.code, 0, forced.stderr);
    }
    await h1.ok("launch", "--resume", "--nickname", h1.name);
    assert.equal((await h1.ok("status", "targets")).trim(), "192.0.2.9");
    await h1.ok("reset");
    assert.deepEqual(
      readdirSync(h1.folder).filter((name) => name === "state"),
      [],
    );
  },
);
