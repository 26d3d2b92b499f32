import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { page, ROOT } from "#test/lab/docs/pages.js";

/** The pure parts of a release; slow/release.test.ts makes one. */

interface Changelog {
  changesOf(text: string, version: string): { body: string; isReleased: boolean };
  withRelease(text: string, version: string, date: string): string;
}
const scripts = join(ROOT, "scripts/build/release");
const { changesOf, withRelease } = (await import(join(scripts, "changelog.mjs"))) as Changelog;
const { VERSION_FILES } = (await import(join(scripts, "version.mjs"))) as { VERSION_FILES: readonly string[] };

const TEXT = `# Changelog

## [Unreleased]

### Added

- B [link](x).

## [0.1.0] - 2026-01-02

- A.
`;

test("release notes are the section of the version, or the unreleased changes", () => {
  assert.deepEqual(changesOf(TEXT, "0.1.0"), { body: "- A.", isReleased: true });
  assert.deepEqual(changesOf(TEXT, "0.2.0"), { body: "### Added\n\n- B [link](x).", isReleased: false });
  assert.throws(() => changesOf("## [Unreleased]\n\n## [0.1.0]\n\n- A.\n", "0.2.0"), /no changes for 0\.2\.0/);
});

test("a release makes a section of the unreleased changes", () => {
  const text = withRelease(TEXT, "0.2.0", "2026-03-04");
  assert.match(text, /^## \[Unreleased\]\n\n## \[0\.2\.0\] - 2026-03-04\n\n### Added/m);
  assert.deepEqual(changesOf(text, "0.2.0"), { ...changesOf(TEXT, "0.2.0"), isReleased: true });
  assert.throws(() => withRelease(text, "0.2.0", "2026-03-04"), /section of 0\.2\.0 already/);
  assert.throws(() => withRelease(text, "0.3.0", "2026-03-04"), /no changes/);
});

test("the project's own changelog has changes to release", () => {
  const { version } = JSON.parse(page("package.json"));
  assert.ok(changesOf(page("CHANGELOG.md"), version).body.length > 1_000);
});

test("all files that have the version have the same", () => {
  const { version } = JSON.parse(page("package.json"));
  for (const file of VERSION_FILES) {
    const found: readonly string[] = readFileSync(join(ROOT, file), "utf8").match(/\d+\.\d+\.\d+/g) ?? [];
    assert.ok(found.includes(version), `${file} names ${found}`);
  }
});
