import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { removeNetworkFile, writeNetworkFile } from "#cli/cni/network-file.js";
import { cniPluginState, installCniPlugin, removeCniPlugin } from "#cli/cni/plugin-files.js";
import { VERSION } from "#src/version.js";

/** Runs a test with a folder that is removed afterwards. */
function folderTest(name: string, run: (folder: string) => void | Promise<void>): void {
  test(name, async () => {
    const folder = mkdtempSync(join(tmpdir(), "weave-setup-cni-"));
    try {
      await run(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

const PROGRAM = `weave-plugin-${VERSION}`;
const FILES = [PROGRAM, "weave-ipam", "weave-net"].sort();

/** Runs an installed plugin; returns the version of CNI that it answers with. */
function versionOf(path: string): unknown {
  const env = { CNI_COMMAND: "VERSION" };
  return JSON.parse(spawnSync(path, { env, input: '{"cniVersion":"0.4.0"}', encoding: "utf8" }).stdout).cniVersion;
}

folderTest("both plugins are installed for all users, under a strict umask, and once", (folder) => {
  const umask = process.umask(0o077);
  try {
    const bin = join(folder, "opt", "cni", "bin");
    assert.deepEqual(
      installCniPlugin(bin).sort(),
      FILES.map((name) => join(bin, name)),
    );
    assert.deepEqual(readdirSync(bin).sort(), FILES);
    assert.deepEqual(
      [bin, join(bin, PROGRAM)].map((path) => statSync(path).mode & 0o777),
      [0o755, 0o755],
    );
    for (const name of ["weave-net", "weave-ipam"]) assert.equal(versionOf(join(bin, name)), "0.4.0");
    assert.deepEqual([installCniPlugin(bin), cniPluginState(bin)], [[], "current"]);
    assert.equal(removeCniPlugin(bin).length, 3);
    assert.equal(cniPluginState(bin), "missing");
    assert.deepEqual(readdirSync(folder), ["opt"], "the folders that are empty now are gone");
    assert.deepEqual(readdirSync(join(folder, "opt")), []);
    assert.deepEqual(removeCniPlugin(bin), []);
  } finally {
    process.umask(umask);
  }
});

folderTest("an upgrade replaces the plugin in one step while it runs, and removes the earlier one", async (folder) => {
  installCniPlugin(folder);
  const earlier = "weave-plugin-0.0.9";
  const bytes = readFileSync(join(folder, PROGRAM));
  writeFileSync(join(folder, earlier), Buffer.concat([bytes, Buffer.from("earlier")]), { mode: 0o755 });
  for (const name of ["weave-net", "weave-ipam"]) {
    rmSync(join(folder, name));
    symlinkSync(earlier, join(folder, name));
  }
  assert.equal(cniPluginState(folder), "other");
  writeFileSync(join(folder, PROGRAM), "cut");
  // It waits for its input.
  const running = spawn(join(folder, "weave-net"), [], { env: { CNI_COMMAND: "VERSION" } });
  await new Promise((resolve) => running.once("spawn", resolve));
  const output = new Promise((resolve) => running.stdout.once("data", resolve));
  assert.equal(installCniPlugin(folder).length, 3);
  assert.deepEqual(readdirSync(folder).sort(), FILES);
  assert.equal(readlinkSync(join(folder, "weave-net")), PROGRAM);
  running.stdin.end("{}");
  assert.match(String(await output), /supportedVersions/);
});

folderTest("the plugin of Weave Net is replaced, but its program and all other files stay", (folder) => {
  const foreign = ["bridge", "weave-plugin-2.8.1", ".weave-cni-notes"];
  for (const name of foreign) writeFileSync(join(folder, name), "#!/bin/sh\n");
  symlinkSync("weave-plugin-2.8.1", join(folder, "weave-net"));
  writeFileSync(join(folder, "weave-ipam"), "a file");
  installCniPlugin(folder);
  assert.equal(versionOf(join(folder, "weave-net")), "0.4.0");
  assert.ok(lstatSync(join(folder, "weave-ipam")).isSymbolicLink());
  // What an interrupted installation left.
  writeFileSync(join(folder, ".weave-cni-1"), readFileSync(join(folder, PROGRAM)));
  removeCniPlugin(folder);
  assert.deepEqual(readdirSync(folder).sort(), foreign.sort());
  symlinkSync("weave-plugin-2.8.1", join(folder, "weave-net"));
  assert.deepEqual(removeCniPlugin(folder), [], "not of this project");
});

folderTest("a folder in place of a plugin is an error, and nothing is left beside it", (folder) => {
  mkdirSync(join(folder, "weave-net"));
  assert.throws(() => installCniPlugin(folder), { code: /EISDIR|ENOTEMPTY|EEXIST/ });
  assert.deepEqual(readdirSync(folder).sort(), ["weave-net", PROGRAM].sort());
});

const file = (folder: string) => join(folder, "10-weave.conflist");
const contentOf = (folder: string) => JSON.parse(readFileSync(file(folder), "utf8"));
/** Weave Net's file. */
const WEAVE_NET = {
  cniVersion: "0.3.0",
  name: "weave",
  plugins: [
    { name: "weave", type: "weave-net", hairpinMode: true },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ],
};

folderTest("the network configuration has weave's name, the hairpin mode, and portmap", (folder) => {
  assert.equal(writeNetworkFile(folder, undefined).state, "written");
  assert.deepEqual(contentOf(folder), {
    cniVersion: "1.0.0",
    name: "weave",
    plugins: [
      { type: "weave-net", hairpinMode: true, capabilities: { aliases: true } },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  });
  assert.equal(statSync(file(folder)).mode & 0o777, 0o644);
  assert.equal(writeNetworkFile(folder, true).state, "up to date");
  assert.equal(writeNetworkFile(folder, false).state, "written");
  assert.equal(writeNetworkFile(folder, undefined).state, "up to date", "a mode that was chosen stays");
  assert.equal(contentOf(folder).plugins[0].hairpinMode, false);
  assert.deepEqual(removeNetworkFile(folder), { path: file(folder), state: "removed" });
  assert.equal(removeNetworkFile(folder).state, "missing");
});

folderTest("a network configuration that its user changed is neither written nor removed", (folder) => {
  const changed = [
    { ...WEAVE_NET, name: "other" },
    { ...WEAVE_NET, plugins: WEAVE_NET.plugins.slice(0, 1) },
    { ...WEAVE_NET, plugins: [{ ...WEAVE_NET.plugins[0], mtu: 1_300 }, WEAVE_NET.plugins[1]] },
  ].map((content) => JSON.stringify(content));
  for (const text of [...changed, "", "{", "[]", "null"]) {
    writeFileSync(file(folder), text);
    assert.equal(writeNetworkFile(folder, true).state, "kept");
    assert.equal(removeNetworkFile(folder).state, "kept");
    assert.equal(readFileSync(file(folder), "utf8"), text);
  }
});

folderTest(
  "Weave Net's unchanged configuration is replaced, with its hairpin mode, and so is its old one",
  (folder) => {
    for (const hairpinMode of [true, false]) {
      const [net, portmap] = WEAVE_NET.plugins;
      writeFileSync(file(folder), JSON.stringify({ ...WEAVE_NET, plugins: [{ ...net, hairpinMode }, portmap] }));
      assert.equal(writeNetworkFile(folder, undefined).state, "written");
      assert.deepEqual(
        [contentOf(folder).cniVersion, contentOf(folder).plugins[0].hairpinMode],
        ["1.0.0", hairpinMode],
      );
    }
    const old = join(folder, "10-weave.conf");
    writeFileSync(old, '{"name":"weave","type":"weave-net","hairpinMode":true}');
    assert.equal(writeNetworkFile(folder, undefined).hiddenBy, undefined);
    assert.ok(!existsSync(old));
    writeFileSync(old, '{"name":"weave","type":"weave-net","hairpinMode":true,"mtu":1300}');
    assert.equal(writeNetworkFile(folder, undefined).hiddenBy, old);
    assert.ok(existsSync(old));
  },
);

folderTest("without the folder of a runtime no network configuration is written", (folder) => {
  const missing = join(folder, "net.d");
  assert.equal(writeNetworkFile(missing, true).state, "no folder");
  assert.equal(removeNetworkFile(missing).state, "missing");
  assert.ok(!existsSync(missing));
});
