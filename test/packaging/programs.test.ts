import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "#test/lab/docs/pages.js";

/** Programs that tests require, against the set-up that installs them. */

const setUp = readFileSync(join(ROOT, "scripts/with-setup.sh"), "utf8");

/** Packages of a profile's list, with those of the lists that it contains. */
function profile(name: string): Set<string> {
  const list = new RegExp(`^${name}=\\(((?:.|\\n)*?)\\)$`, "m").exec(setUp);
  assert.ok(list, `no list ${name}`);
  const entries = new Set<string>();
  for (const entry of list[1].split(/\s+/).map((each) => each.replaceAll(/['"]/g, ""))) {
    const other = /^\$\{(\w+)\[@\]\}$/.exec(entry);
    if (other === null) for (const each of entry.replace(/^.*:/, "").split("|")) entries.add(each);
    else for (const each of profile(other[1])) entries.add(each);
  }
  return entries;
}

/** Packages that the tests of a folder require by `programMissing`, each with its file. */
function required(folder: string): { file: string; from: string }[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) =>
      [...readFileSync(join(ROOT, folder, file), "utf8").matchAll(/programMissing\("[^"]+", "([^"]+)"/g)].map(
        ([, from]) => ({
          file: join(folder, file),
          from,
        }),
      ),
    );
}

/** The profile of the command that runs a file's tests. The lab serves slow tests too. */
function profileOf(file: string): string {
  if (/^test\/(?:docker|runtimes)\/slow\//.test(file)) return "engines";
  if (/^test\/host\/slow\/(?:alerts|prometheus)\./.test(file)) return "prometheus";
  return /^test\/(?:packaging\/slow|lab)\//.test(file) ? "packaging" : "tests";
}

test("every program that a test requires is installed by the set-up of its command", () => {
  const folders = ["lab", "unit", "host", "docker", "runtimes", "packaging"].map((name) => `test/${name}`);
  const all = folders.filter((folder) => existsSync(join(ROOT, folder))).flatMap(required);
  assert.ok(all.length > 3);
  const lacking = all.filter(({ file, from }) => !profile(profileOf(file)).has(from));
  assert.deepEqual(lacking, []);
});
