import assert from "node:assert/strict";
import { test } from "node:test";
import { sources } from "#test/lab/docs/sources.js";

/** Exported names of the sources: a name stands for one thing, so that a search for it ends at one file. */

/** Names that several files export on purpose, and the reason. */
const SHARED: Readonly<Record<string, string>> = {
  run: "each file of a command exports its entry point under this name (cli/main.ts); src/linux/exec.ts runs programs of the host",
};

const DECLARATION =
  /^export (?:declare )?(?:async )?(?:abstract )?(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm;

const files = new Map<string, Set<string>>();
for (const [file, text] of sources)
  for (const [, name] of text.matchAll(DECLARATION)) files.set(name, (files.get(name) ?? new Set()).add(file));

test("exported names of different files are distinct", () => {
  assert.ok(files.size > 500, `${files.size} names`);
  const shared = [...files].filter(([name, { size }]) => size > 1 && !(name in SHARED));
  assert.deepEqual(
    shared.map(([name, where]) => `${name}: ${[...where].join(", ")}`),
    [],
  );
});

test("each exception for a shared name is in use", () => {
  for (const name of Object.keys(SHARED)) assert.ok((files.get(name)?.size ?? 0) > 1, name);
});
