import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hostsFileText, readHostsFile } from "#router/attachments/hosts-file.js";

test("/etc/hosts has the overlay's addresses, the user's entries, and the usual names", () => {
  const file = { name: "web.weave.local", extra: ["db:10.9.9.9", "six:fe80::1"] };
  const text = hostsFileText(file, ["10.32.0.1/12", "10.2.0.1/24"]);
  assert.match(text, /^10\.32\.0\.1\tweb\.weave\.local web$/m);
  assert.match(text, /^10\.2\.0\.1\tweb\.weave\.local web$/m);
  assert.match(text, /^10\.9\.9\.9\tdb$/m);
  assert.match(text, /^fe80::1\tsix$/m);
  assert.match(text, /^127\.0\.0\.1\tlocalhost$/m);
  assert.match(hostsFileText({ name: "alone" }, ["10.2.0.1/24"]), /^10\.2\.0\.1\talone$/m);
  const dotted = hostsFileText({ name: "www.app.weave.local", hostname: "www.app" }, ["10.2.0.1/24"]);
  assert.match(dotted, /^10\.2\.0\.1\twww\.app\.weave\.local www\.app www$/m);
});

test("a hosts file that its container has made long is not read into memory", () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-hosts-"));
  try {
    const path = join(folder, "hosts");
    writeFileSync(path, "127.0.0.1\tlocalhost\n");
    assert.equal(readHostsFile(path)?.toString(), "127.0.0.1\tlocalhost\n");
    writeFileSync(path, "#".repeat(1 << 20));
    assert.equal(readHostsFile(path), undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
