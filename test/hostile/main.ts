/**
 * `npm run hostile [-- ATTACK… --seconds 30]`: a hostile peer that knows the password, and strangers, against real routers; without
 * names all attacks in turn. Prints what each has cost, and how long the deeds of honest peers took at most meanwhile. An attack that
 * stops them ends the program with an error.
 */
import { benchLab, option } from "#test/bench/bench.js";
import { ATTACKS } from "./attacks.js";
import { Field, outcomeText } from "./field.js";

const SECONDS = 30;

const words = process.argv.slice(2).filter((word, i, all) => !word.startsWith("--") && all[i - 1] !== "--seconds");
const unknown = words.filter((word) => ATTACKS[word] === undefined);
if (unknown.length > 0)
  throw new Error(
    `no attack ${unknown}; there are:\n${Object.entries(ATTACKS)
      .map(([name, { what }]) => `  ${name}: ${what}`)
      .join("\n")}`,
  );
const seconds = Number(option("--seconds") ?? SECONDS);
await benchLab(4, async (lab) => {
  const field = new Field(lab);
  await field.setUp();
  for (const attack of words.length > 0 ? words : Object.keys(ATTACKS))
    console.log(outcomeText(await field.run(attack, seconds)));
});
