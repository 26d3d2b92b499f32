import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chosenEngine, engineAtLeast } from "#test/lab/engine.js";

/** The choice of an engine for Docker tests, from a cache with engines that only print their versions. */

const SCRIPT = new URL("../../../scripts/engines.sh", import.meta.url).pathname;
let cache: string;
const saved = process.env.WEAVE_ENGINES;

before(() => {
  cache = mkdtempSync(join(tmpdir(), "weave-engines-"));
  process.env.WEAVE_ENGINES = cache;
});
after(() => {
  if (saved === undefined) delete process.env.WEAVE_ENGINES;
  else process.env.WEAVE_ENGINES = saved;
  rmSync(cache, { recursive: true, force: true });
});

/** Puts an engine of some version into the cache, under a name. */
function put(name: string, version: string): string {
  const folder = join(cache, name, "bin");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "dockerd"), `#!/bin/sh\necho Docker version ${version}, build test\n`);
  chmodSync(join(folder, "dockerd"), 0o755);
  return folder;
}

/** Runs engines.sh. @returns its status and all that it prints */
function script(...args: string[]): [number | null, string] {
  const { status, stdout, stderr } = spawnSync(SCRIPT, args, { encoding: "utf8" });
  return [status, stdout + stderr];
}

test("an engine that is named is taken from the cache, and must be of that version", () => {
  assert.throws(() => chosenEngine("97"), /engine 97 is not in .*weave-engines-.*: scripts\/engines\.sh 97 makes it/);
  const folder = put("97", "97.1.0");
  assert.deepEqual(chosenEngine("97"), { folder, version: "Docker version 97.1.0, build test" });
  assert.deepEqual([engineAtLeast(97, chosenEngine("97")), engineAtLeast(98, chosenEngine("97"))], [true, false]);
  put("97", "9.97.1");
  assert.throws(() => chosenEngine("97"), /engine 97 is not in .* \(there: Docker version 9\.97\.1/);
});

test("engines.sh says why an engine must be made, and refuses unknown ones", () => {
  assert.deepEqual(script("--check", "29"), [1, `engine 29 is not in ${cache}\n`]);
  put("29", "29.1.0");
  assert.deepEqual(script("--check", "29"), [1, `engine 29 in ${cache} is not complete, or of other versions\n`]);
  for (const args of [["--check", "28"], ["28"], ["--check"]]) {
    const [status, output] = script(...args);
    assert.equal(status, 1);
    assert.match(output, /is no engine that it knows: 20\.10 26\.1 29/);
  }
});
