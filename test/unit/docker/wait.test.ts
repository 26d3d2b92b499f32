import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { installHelper } from "#docker/wait/helper.js";
import { PROGRAMS } from "#docker/wait/programs.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";

/** Emulators for programs of other architectures. */
const EMULATORS: Readonly<Record<string, string>> = {
  x64: "qemu-x86_64-static",
  arm64: "qemu-aarch64-static",
  arm: "qemu-arm-static",
  riscv64: "qemu-riscv64-static",
  ppc64: "qemu-ppc64le-static",
  s390x: "qemu-s390x-static",
};
const SOURCE = new URL("../../../../docker/wait/build.sh", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "weave-wait-"));
const NETNS = `weave-wait-${process.pid}`;
const skip = hostTestsImpossible();

if (skip === undefined) {
  spawnSync("ip", ["netns", "add", NETNS]);
  spawnSync("ip", ["-n", NETNS, "link", "add", "ethwe", "type", "veth", "peer", "name", "other"]);
}
after(() => {
  if (skip === undefined) spawnSync("ip", ["netns", "delete", NETNS]);
  rmSync(folder, { recursive: true, force: true });
});

const link = (...args: string[]) => spawnSync("ip", ["-n", NETNS, "link", "set", "ethwe", ...args]);

test("all users can run the helper, also under a strict umask, and after a wrong mode", () => {
  const umask = process.umask(0o077);
  try {
    const installed = installHelper(join(folder, "state", "w"))!;
    const modes = () => [installed, join(installed, "w")].map((path) => statSync(path).mode & 0o777);
    assert.deepEqual(modes(), [0o755, 0o755]);
    for (const path of [installed, join(installed, "w")]) chmodSync(path, 0o700);
    installHelper(installed);
    assert.deepEqual(modes(), [0o755, 0o755]);
  } finally {
    process.umask(umask);
  }
});

/** Checks a build of the helper. */
async function check(command: readonly string[]): Promise<void> {
  const inside = ["netns", "exec", NETNS, ...command];
  const run = (...args: string[]) => spawnSync("ip", [...inside, ...args], { encoding: "utf8", timeout: 20_000 });
  link("dynamic", "off");
  const waiting = spawn("ip", [...inside, "echo", "it", "is", "there"]);
  let output = "";
  waiting.stdout.on("data", (text) => {
    output += text;
  });
  const ended = new Promise((resolve) => waiting.once("close", resolve));
  await new Promise((resolve) => setTimeout(resolve, 150));
  link("up");
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal(output, "", "up alone is not ready");
  link("dynamic", "on");
  assert.equal(await ended, 0);
  assert.equal(output, "it is there\n");
  assert.equal(run("/bin/echo", "by its path").stdout, "by its path\n");
  const missing = run("no-such-program");
  assert.deepEqual(
    [missing.status, missing.stderr],
    [127, 'weave: exec: "no-such-program": executable file not found in $PATH\n'],
  );
  assert.equal(run("/etc/passwd").status, 126);
  const nothing = run();
  assert.deepEqual([nothing.status, nothing.stderr], [1, "weave: No command specified\n"]);
  const environment = spawnSync("ip", [...inside, "env"], { encoding: "utf8", env: { ...process.env, HANDED: "on" } });
  assert.match(environment.stdout, /^HANDED=on$/m);
}

for (const [architecture, program] of Object.entries(PROGRAMS)) {
  const own = architecture === process.arch;
  const emulator = EMULATORS[architecture];
  const cannot = skip ?? (own ? undefined : programMissing(emulator, "qemu-user-static"));
  test(`the waiting helper for ${architecture} waits for the interface, then becomes the command`, {
    skip: cannot,
  }, async () => {
    const file = join(folder, architecture);
    writeFileSync(file, Buffer.from(program, "base64"));
    chmodSync(file, 0o755);
    await check(own ? [file] : [emulator, file]);
  });
}

test("the waiting helper built from its source does the same", {
  skip: skip ?? programMissing("gcc", "gcc") ?? programMissing("strip", "binutils"),
}, async () => {
  const file = join(folder, "built");
  const built = spawnSync(SOURCE, ["--native", file], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  await check([file]);
});
