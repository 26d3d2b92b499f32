import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { printableText, shortLine, VISIBLE_TEXT } from "#src/text.js";

test("a text of another host is one visible line of bounded length", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), fc.integer({ min: 1, max: 40 }), (text, max) => {
      const line = shortLine(text, max);
      assert.ok(line.length <= max, `${line.length} of ${max}`);
      assert.match(line, VISIBLE_TEXT);
      assert.equal(shortLine(line, max), line);
    }),
  );
});

test("what is cut off is marked, and half of a character does not stay", () => {
  assert.equal(shortLine("a\nb\t c ", 10), "a b c");
  assert.equal(shortLine("abcdef", 4), "abc…");
  assert.equal(shortLine("ab😀cd", 4), "ab?…");
});

test("sequences that control a terminal are no more than visible characters", () => {
  assert.equal(printableText("\u001B[2Jname\u202E"), "?[2Jname?");
});
