import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { releaseProgramPages, unchangedMappings } from "#src/linux/native/program-pages.js";

const block = (range: string, rights: string, anonymousKb: number, file: string) =>
  `${range} ${rights} 00000000 08:01 42                       ${file}\nSize: 4 kB\nAnonymous: ${String(anonymousKb).padStart(9)} kB\nSwap:           0 kB\nVmFlags: rd mr\n`;

test("only private mappings of the program are chosen that no process has changed", () => {
  const smaps = [
    block("00400000-00600000", "r--p", 0, "/usr/bin/node"),
    block("00600000-01a00000", "r-xp", 0, "/usr/bin/node"),
    block("01a00000-01a10000", "r--p", 8, "/usr/bin/node"),
    block("01a10000-01a20000", "rw-p", 0, "/usr/bin/node"),
    block("7f0000000000-7f0000001000", "r--s", 0, "/usr/bin/node"),
    block("7f0000001000-7f0000002000", "r-xp", 0, "/usr/lib/libnode.so.115"),
    block("7f0000001000-7f0000002000", "r-xp", 0, "/usr/lib/libc.so.6"),
    block("7f0000002000-7f0000003000", "r--p", 0, ""),
  ].join("");
  assert.deepEqual(unchangedMappings(smaps, "/usr/bin/node"), [
    { start: 0x400000, bytes: 0x200000 },
    { start: 0x600000, bytes: 0x1400000 },
    { start: 0x7f0000001000, bytes: 0x1000 },
  ]);
  assert.deepEqual(unchangedMappings("", "/usr/bin/node"), []);
});

test("a process that has released the program's pages has them again when it needs them", () => {
  const fileKb = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  const before = fileKb();
  releaseProgramPages();
  const after = fileKb();
  assert.ok(after < before - 8_192, `${before} kB before, ${after} kB after`);
  assert.equal(Buffer.from("works").toString("base64url"), "d29ya3M");
});
