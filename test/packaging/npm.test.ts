import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { compareVersions } from "#docker/engine/engine.js";
import { ARCHITECTURES, OLDEST_GLIBC } from "#src/installation.js";
import { VERSION } from "#src/version.js";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { joinedHosts } from "#test/lab/joined-hosts.js";
import { labTest } from "#test/lab/lab-test.js";

/** The npm package: what it contains, and that a weave which npm has installed works. */

const folder = mkdtempSync(join(tmpdir(), "weave-npm-"));
const prefix = join(folder, "prefix");
const weave = join(prefix, "bin/weave");
/** Output of `npm pack` and of `npm install`. */
const output = { pack: "", install: "" };

after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program that must succeed. Returns all of its output. */
function must(file: string, ...args: string[]): string {
  // npm's cache is empty, and it may not use the network.
  const env = { ...process.env, npm_config_cache: join(folder, "cache"), npm_config_offline: "true" };
  const { status, stdout, stderr } = spawnSync(file, args, { cwd: ROOT, env, encoding: "utf8" });
  assert.equal(status, 0, `${file} ${args.join(" ")}: ${stderr}`);
  return stdout + stderr;
}

before(() => {
  builtBundle();
  output.pack = must("npm", "pack", "--pack-destination", folder);
  output.install = must("npm", "install", "--global", "--prefix", prefix, join(folder, `weave-${VERSION}.tgz`));
});

test("npm pack packs the bundle and nothing else: no sources, no tests, no other package", () => {
  const files = must("tar", "--list", "--file", join(folder, `weave-${VERSION}.tgz`))
    .trim()
    .split("\n");
  const others = files.filter((file) => !file.startsWith("package/build/bundle/"));
  assert.deepEqual(others.sort(), ["package/LICENSE", "package/README.md", "package/package.json"]);
  const suspicious = /\.ts$|\.map$|node_modules|\btest\b|\/\./;
  assert.deepEqual(
    files.filter((file) => suspicious.test(file)),
    [],
  );
  assert.doesNotMatch(output.pack, /warn/i);
});

test("npm installs it without the network, without any other package and without a warning", () => {
  assert.match(output.install, /^\s*added 1 package in/);
  assert.doesNotMatch(output.install, /warn|deprecated|script/i);
  assert.ok(must(weave, "version").startsWith(`weave command ${VERSION}\n`));
});

labTest("two hosts with the weave that npm installed", { hosts: 2, timeout: 120_000 }, async ({ hosts: [h1, h2] }) => {
  for (const host of [h1, h2]) host.weaveCommand = [weave];
  await joinedHosts(h1, h2);
  assert.match(await h1.ok("status", "connections"), /established encrypted +sleeve/);
  // Modules that are loaded when they are needed: metrics, another start, the listing without a router.
  const metrics = "fetch('http://127.0.0.1:6782/metrics').then((reply) => reply.text()).then(console.log)";
  assert.match(await h1.must(process.execPath, "-e", metrics), /^weave_connections\{/m);
  await h1.ok("restart");
  assert.match(await h1.ok("ps"), /10\.32\.0\.1\/12/);
  await h1.ok("stop");
  assert.match(await h1.ok("ps"), /10\.32\.0\.1\/12/);
  const lines = h1.log().trim().split("\n");
  assert.ok(lines.every((line) => typeof JSON.parse(line).msg === "string"));
  await h1.ok("reset", "--force");
});

/** Runs a copy of the bundle that was changed. */
function changed(change: (bundle: string) => void, ...args: string[]): { code: number | null; text: string } {
  const copy = mkdtempSync(join(folder, "copy-"));
  cpSync(builtBundle(), copy, { recursive: true });
  change(copy);
  const env = { ...process.env, WEAVE_RUN_DIR: join(copy, "run"), WEAVE_STATE_DIR: copy, WEAVE_LOG_DIR: copy };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(copy, "bin/weave"), ...args], {
    env,
    encoding: "utf8",
  });
  return { code: status, text: (stdout + stderr).replaceAll(copy, "") };
}

const ROOT_ONLY = { skip: process.getuid?.() === 0 ? false : "needs root: weave launch" };

test("a file that is missing or cut off is named, whatever needs it", ROOT_ONLY, () => {
  const chunk = (copy: string) => readdirSync(join(copy, "lib/shared")).find((name) => name.startsWith("version-"))!;
  const cases: readonly (readonly [command: string, RegExp, (copy: string) => void])[] = [
    ["version", /incomplete: \/lib\/cli\/main\.js is missing/, (copy) => rmSync(join(copy, "lib/cli/main.js"))],
    [
      "version",
      /incomplete: \/lib\/shared\/version-\w+\.js is missing/,
      (copy) => rmSync(join(copy, "lib/shared", chunk(copy))),
    ],
    ["launch", /incomplete: \/lib\/router\/main\.js is missing/, (copy) => rmSync(join(copy, "lib/router/main.js"))],
    [
      "launch",
      /incomplete: \/native\/linux-\w+\/koffi\.node is missing/,
      (copy) => rmSync(join(copy, `native/linux-${process.arch}/koffi.node`)),
    ],
    [
      "launch",
      /damaged: \/native\/linux-\w+\/supervisor has 10 instead of \d+ bytes/,
      (copy) => truncateSync(join(copy, `native/linux-${process.arch}/supervisor`), 10),
    ],
    [
      "setup",
      /^files +MISSING .*\/lib\/router\/datapath\/worker\.js is missing/m,
      (copy) => rmSync(join(copy, "lib/router/datapath/worker.js")),
    ],
  ];
  for (const [command, expected, change] of cases) {
    const { code, text } = changed(change, command);
    assert.equal(code, 1, text);
    assert.match(text, expected);
    assert.match(text, /Install weave again/);
    assert.doesNotMatch(text, /^ +at /m, "no stack");
  }
});

test("a platform that is not supported is refused in words", ROOT_ONLY, () => {
  const native = (copy: string, name: string) => join(copy, `native/linux-${process.arch}/${name}.node`);
  const pretend = (what: string) => (copy: string) => {
    writeFileSync(native(copy, "koffi"), "made for another C library");
    const entry = join(copy, "bin/weave");
    writeFileSync(entry, readFileSync(entry, "utf8").replace("\n", `\n${what};\n`));
  };
  const supported = `weave runs on Linux with glibc ${OLDEST_GLIBC} or later, on x64 and arm64; this is`;
  const architecture = changed(pretend("Object.defineProperty(process, 'arch', { value: 's390x' })"), "launch");
  assert.deepEqual([architecture.code, architecture.text], [1, `${supported} linux on s390x\n`]);
  const musl = changed(pretend("process.report.getReport = () => ({ header: {} })"), "launch");
  assert.equal(musl.text, `${supported} a system without glibc\n`);
  const old = changed((copy) => {
    // As on a host whose C library is older than the module: the module's newest version is one that no host has.
    const file = readFileSync(native(copy, "lmdb"), "latin1");
    writeFileSync(native(copy, "lmdb"), file.replaceAll(`GLIBC_${OLDEST_GLIBC}\0`, "GLIBC_9.99\0"), "latin1");
  }, "launch");
  assert.match(old.text, new RegExp(`^${supported} glibc \\d\\.\\d+\n$`));
  const damaged = changed((copy) => truncateSync(native(copy, "lmdb"), 100), "launch");
  assert.match(damaged.text, /^cannot load \/native\/linux-\w+\/lmdb\.node: .*\nInstall weave again/m);
});

test("the oldest C library and the architectures are those of the native modules and of package.json", () => {
  const native = join(builtBundle(), "native");
  const { cpu } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { cpu: string[] };
  assert.deepEqual(cpu, ARCHITECTURES);
  assert.deepEqual(readdirSync(native).sort(), ARCHITECTURES.map((arch) => `linux-${arch}`).sort());
  const versions = readdirSync(native, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".node"))
    .flatMap((file) => [...readFileSync(join(native, file), "latin1").matchAll(/GLIBC_(\d+\.\d+)\0/g)])
    .map(([, version]) => version);
  assert.equal(versions.sort(compareVersions).at(-1), OLDEST_GLIBC);
});

test("no file of the bundle imports node:http, of which Node.js 22 makes all exports: 35 ms of each command", () => {
  const lib = join(builtBundle(), "lib");
  const files = readdirSync(lib, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js"));
  assert.ok(files.length > 10);
  const importing = files.filter((file) => /^import [^;]*"node:http"/m.test(readFileSync(join(lib, file), "utf8")));
  assert.deepEqual(importing, []);
});

test("npm removes it wholly", () => {
  must("npm", "uninstall", "--global", "--prefix", prefix, "weave");
  const left = readdirSync(prefix, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  assert.deepEqual(
    left.map(({ name }) => name),
    [],
  );
});
