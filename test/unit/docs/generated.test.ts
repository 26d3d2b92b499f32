import assert from "node:assert/strict";
import { test } from "node:test";
import { generatedPages } from "#test/lab/docs/generated-pages.js";
import { page } from "#test/lab/docs/pages.js";

for (const [path, text] of generatedPages())
  test(`${path} is what the source gives: npm run docs writes it`, () => assert.equal(page(path), text));
