import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { passwordBits, passwordWeakness, WEAK_BELOW_BITS } from "#router/peers/password-strength.js";

test("passwords that people choose first are weak, random ones and several words are not", () => {
  for (const weak of [
    "a",
    "password",
    "Password1",
    "PASSWORD123",
    "weave",
    "docker-weave",
    "12345678901234567890",
    "abcdefghijklmnop",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abcabcabcabcabcabcabcabc",
    "sunshine",
    "hunter2",
    "Summer2026",
    "xkqzvb",
  ])
    assert.match(passwordWeakness(weak)!, /^weak: about \d+ bits/, weak);
  for (const strong of [
    "correct horse battery staple",
    "tzqkxbwgnhrpc",
    "9fJ2xQ7LmR",
    "kR7/Yx0pQe2Zt5uWv8sBnA==",
    "4f1c9b7de2a83056",
    "grün-blau-läuft-über",
  ])
    assert.equal(passwordWeakness(strong), undefined, `${strong}: ${passwordBits(strong)}`);
});

test("the estimate is finite and bounded for any text, also a long one", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 2_000 }), (text) => {
      const bits = passwordBits(text);
      assert.ok(Number.isFinite(bits) && bits >= 0 && bits < 4_000, `${bits}`);
    }),
  );
  for (const long of ["a".repeat(1_024), "ab".repeat(512), "password".repeat(128), "\u0130".repeat(1_024)])
    assert.ok(passwordBits(long) < 4_000);
  assert.ok(WEAK_BELOW_BITS > 30);
});
