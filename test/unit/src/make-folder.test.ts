import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeFolder } from "#src/make-folder.js";

test("a folder is made with its parents; what exists is no error, and what cannot be made is one", (t) => {
  const root = mkdtempSync(join(tmpdir(), "weave-folder-"));
  t.after(() => rmSync(root, { recursive: true }));
  assert.equal(makeFolder(join(root, "a/b/c"), 0o700), join(root, "a"));
  assert.equal(statSync(join(root, "a/b/c")).mode & 0o777, 0o700);
  assert.equal(makeFolder(join(root, "a/b/c")), undefined);
  assert.equal(makeFolder(join(root, "a/d")), join(root, "a/d"));
  writeFileSync(join(root, "file"), "");
  assert.throws(() => makeFolder(join(root, "file")), /EEXIST/);
  assert.throws(() => makeFolder(join(root, "file/a/b")), /ENOTDIR/);
  // Node's own function does not return here.
  assert.throws(() => makeFolder("/proc/weave/a"), /ENOENT/);
});
