import assert from "node:assert/strict";
import { test } from "node:test";
import { page } from "#test/lab/docs/pages.js";
import { sources } from "#test/lab/docs/sources.js";

/** CONTRIBUTING.md's table of limits: each constant is in the file that its row names, with the value that it shows. */

/** Value of one unit, by the unit of the constant: milliseconds, or seconds where the name ends in `_S`. */
const MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000, "": 1, bytes: 1 };
const ROW = /^\| [^|]+ \| `([\w.]+)` \| `([\w./-]+\.ts)` \| ([\d.,]+) ?(\w*) \|$/gm;
const ARITHMETIC = /^[\d_.\s()*+\-/]+$/;

/** @param name of a constant, or of a property of a constant object: "DIAL_RETRY.firstMs" */
function valueIn(file: string, name: string): number {
  const [constant, property] = name.split(".");
  const [, literal] =
    new RegExp(`^(?:export )?const ${constant}(?:: \\w+)? = ([^;]+);`, "m").exec(sources.get(file) ?? "") ?? [];
  const text = property === undefined ? literal : new RegExp(`\\b${property}: ([^,}]+)`).exec(literal ?? "")?.[1];
  assert.ok(text !== undefined && ARITHMETIC.test(text), `${file} has no number ${name}`);
  return Number(new Function(`return ${text}`)());
}

test("the table of limits names constants that exist, and their values", () => {
  const section = page("CONTRIBUTING.md").split("## How to change a time or limit")[1];
  const rows = [...section.matchAll(ROW)];
  const lines = section.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| what"));
  assert.ok(rows.length > 15);
  assert.equal(rows.length, lines.length, "each row has the form of the table");
  for (const [, name, file, digits, unit] of rows) {
    const shown = Number(digits.replaceAll(",", "")) * MS[unit];
    const inUnit = name.endsWith("_S") ? shown / 1_000 : shown;
    assert.equal(valueIn(file, name), inUnit, `${name} in ${file}`);
  }
});
