import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { completionFor } from "#cli/completion/scripts.js";
import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { manPage } from "#cli/manual/manual.js";
import { COMMANDS, type CommandRow } from "#cli/support/command-table.js";
import { isShown, type Row, typed } from "#cli/support/flag-words.js";
import { builtBundle } from "#test/lab/built-bundle.js";
import { programMissing } from "#test/lab/requirements.js";

/** The man page weave(1), as the programs that read it show it. */

const PAGE = manPage();

/** Gives the page to a program by its file. */
function shownBy(file: string, ...args: string[]): { stdout: string; stderr: string; status: number | null } {
  const folder = mkdtempSync(join(tmpdir(), "weave-man-"));
  try {
    const path = join(folder, "weave.1");
    writeFileSync(path, PAGE);
    // A wide page has no line breaks inside of what is searched.
    const env = { ...process.env, MANWIDTH: "10000", MAN_KEEP_FORMATTING: "", PAGER: "cat", LC_ALL: "C.UTF-8" };
    return spawnSync(file, [...args, path], { encoding: "utf8", env });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A page as one line: without overprinted characters, which stand for bold ones. */
const plain = (text: string): string => text.replace(/.[\b]/g, "").replaceAll("\u2010", "-").replace(/\s+/g, " ");

const viewers = [
  {
    name: "groff",
    skip: programMissing("groff", "groff-base"),
    args: ["-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=1000n", "-rHY=0"],
  },
  { name: "man", skip: programMissing("man", "man-db"), args: ["--warnings", "--no-hyphenation", "-l"] },
  { name: "mandoc", skip: programMissing("mandoc", "mandoc"), args: ["-Tutf8", "-O", "width=1000"] },
];

for (const { name, skip, args } of viewers)
  test(`${name} shows every command and flag of the man page, without a warning`, { skip: skip ?? false }, () => {
    const { stdout, stderr, status } = shownBy(name, ...args);
    assert.deepEqual([status, stderr], [0, ""]);
    const text = plain(stdout);
    for (const [command, row] of Object.entries<CommandRow>(COMMANDS)) {
      assert.ok(text.includes(`weave ${command}`), command);
      assert.ok(text.includes(plain(row.summary)), row.summary);
      const flags: readonly Row[] = Object.values(command === "launch" ? ALL_FLAGS : (row.flags ?? {}));
      for (const flag of flags) {
        const words = isShown(flag) ? flag.meaning : "Accepted without effect.";
        const entry = `${typed(flag).replaceAll(/[<>]/g, "")} ${words}`;
        assert.ok(text.includes(plain(entry)), `${command}: ${entry}`);
      }
      for (const line of row.examples ?? []) assert.ok(text.includes(plain(line)), line);
    }
  });

test("mandoc finds nothing to improve, except that the page has no date", {
  skip: programMissing("mandoc", "mandoc") ?? false,
}, () => {
  const found = shownBy("mandoc", "-T", "lint")
    .stdout.split("\n")
    .filter((line) => line !== "");
  assert.deepEqual(
    found.filter((line) => !line.includes("missing date")),
    [],
  );
});

test("the bundle has the page and the completions where systems look for them", () => {
  const share = join(builtBundle(), "share");
  const places: readonly (readonly [path: string, text: string])[] = [
    ["man/man1/weave.1", PAGE],
    ["bash-completion/completions/weave", completionFor("bash")],
    ["zsh/site-functions/_weave", completionFor("zsh")],
    ["fish/vendor_completions.d/weave.fish", completionFor("fish")],
  ];
  for (const [path, text] of places) assert.equal(readFileSync(join(share, path), "utf8"), text, path);
});
