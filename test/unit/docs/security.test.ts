import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { page, ROOT } from "#test/lab/docs/pages.js";

/** A cited test: its file in code, a colon, and parts of titles in quotation marks, with commas between. */
const CITATION = /`(test\/[\w./-]+\.test\.ts)`: ("[^"]+"(?:, "[^"]+")*)/g;

test("each test that the security page cites exists, with the title that it quotes", () => {
  const cited = [...page("docs/security.md").matchAll(CITATION)].flatMap(([, file, titles]) =>
    [...titles.matchAll(/"([^"]+)"/g)].map(([, title]) => ({ file, title })),
  );
  assert.ok(cited.length > 50, `${cited.length} citations`);
  const missing = cited.filter(
    ({ file, title }) => !existsSync(join(ROOT, file)) || !readFileSync(join(ROOT, file), "utf8").includes(title),
  );
  assert.deepEqual(missing, []);
});
