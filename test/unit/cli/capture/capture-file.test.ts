import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CaptureFile } from "#cli/capture/capture-file.js";
import { WeaveError } from "#src/errors.js";

const folder = mkdtempSync(join(tmpdir(), "weave-capture-"));
after(() => rmSync(folder, { recursive: true }));

test("a capture is a new file for its owner alone", () => {
  const path = join(folder, "a");
  const file = new CaptureFile(path);
  file.write([
    { type: 1, bytes: Buffer.from("one") },
    { type: 1, bytes: Buffer.from("two") },
  ]);
  assert.equal(file.bytes, 6);
  file.close();
  assert.deepEqual([readFileSync(path, "utf8"), statSync(path).mode & 0o777], ["onetwo", 0o600]);
  symlinkSync(join(folder, "elsewhere"), join(folder, "link"));
  for (const taken of [path, join(folder, "link")])
    assert.throws(
      () => new CaptureFile(taken),
      (error) => error instanceof WeaveError && /it exists already/.test(error.message),
    );
});

test("a file to which nothing was written does not stay", () => {
  const path = join(folder, "b");
  new CaptureFile(path).close();
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
});
