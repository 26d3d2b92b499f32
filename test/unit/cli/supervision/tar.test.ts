import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { tarArchive } from "#cli/supervision/container/tar.js";

test("tar unpacks an archive: names, contents, and modes for root alone", () => {
  const files = [
    { name: "launch-options.json", content: `{"password":"${"é".repeat(600)}"}\n` },
    { name: "empty", content: "" },
    { name: "block", content: "x".repeat(512) },
  ];
  const archive = tarArchive(files, 1_700_000_000);
  assert.equal(archive.length % 512, 0);
  const tar = (...args: string[]) =>
    execFileSync("tar", args, { input: archive, env: { ...process.env, TZ: "UTC" } }).toString();
  for (const { name, content } of files) assert.equal(tar("-xOf", "-", name), content);
  const lines = tar("-tvf", "-", "--numeric-owner", "--full-time").trim().split("\n");
  for (const line of lines) assert.match(line, /^-rw------- 0\/0 +\d+ 2023-11-14 22:13:20 /);
  assert.deepEqual(
    lines.map((line) => line.split(" ").pop()),
    files.map(({ name }) => name),
  );
});
