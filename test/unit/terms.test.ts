import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url).pathname;

/** What the term check prints of one file with these lines, and its exit status. */
function check(name: string, lines: readonly string[], ...flags: string[]) {
  const folder = mkdtempSync(join(tmpdir(), "weave-terms-"));
  try {
    writeFileSync(join(folder, name), lines.join("\n"));
    const args = ["scripts/terms.mjs", ...flags, join(folder, name)];
    const { stdout, status } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
    return { lines: stdout.split("\n").filter((line) => line.includes(name)), status };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("the term check reports file, line, word and replacement, and fails", () => {
  const { lines, status } = check("page.md", ["A peer retries.", "Nobody hears it."]);
  assert.equal(status, 1);
  assert.equal(lines.length, 2);
  assert.match(lines[0], /page\.md:2: "Nobody": write no peer/);
  assert.match(lines[1], /page\.md:2: "hears": write receive/);
});

test("the term check finds rejected words inside identifiers", () => {
  const { lines } = check("code.ts", [
    "const lastHeardAt = 0;",
    "const TOLD_AT = 1;",
    "class Parts {}",
    "deps.hears();",
  ]);
  assert.deepEqual(
    lines.map((line) => /:(\d+): "(\w+)"/.exec(line)?.slice(1)),
    [
      ["1", "Heard"],
      ["2", "TOLD"],
      ["3", "Parts"],
      ["4", "hears"],
    ],
  );
});

test("the term check accepts plain sentences and similar words", () => {
  const { lines, status } = check("code.ts", [
    "// The peer rejects the message and reports the reason; the next peer forwards it.",
    "const clearedAt = shear + intellect + reheard;",
    "const around = routes.map((hop) => hop.around);",
  ]);
  assert.deepEqual(lines, []);
  assert.equal(status, 0);
});

test("words for a reader to judge are printed on request and never fail", () => {
  assert.deepEqual(check("page.md", ["It asks at once."]).lines, []);
  const { lines, status } = check("page.md", ["It asks at once."], "--advice");
  assert.equal(lines.length, 2);
  assert.equal(status, 0);
});
