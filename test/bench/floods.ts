/**
 * `npm run bench:floods [-- ATTACK… --seconds 600]`: how long an honest peer's connection, a name and an address take under each flood, of
 * strangers from one and from twenty addresses and of members, beside the same without a flood; CPU and memory of the victim.
 */
import { benchLab, option } from "#test/bench/bench.js";
import { ATTACKS } from "#test/hostile/attacks.js";
import { Field, type Outcome, outcomeText } from "#test/hostile/field.js";
import { STRANGER_ATTACKS } from "#test/hostile/strangers.js";

const SECONDS = 20;
const STRANGERS = Object.keys(STRANGER_ATTACKS);

const words = process.argv.slice(2).filter((word, i, all) => !word.startsWith("--") && all[i - 1] !== "--seconds");
const members = Object.keys(ATTACKS).filter((name) => name !== "none" && !STRANGERS.includes(name));
const floods = words.length > 0 ? words : [...STRANGERS.flatMap((name) => [`${name}@1`, `${name}@20`]), ...members];

const row = ({ attack, honest, cpu, rss }: Outcome, { honest: calm }: Outcome): string => {
  const cells = ["join", "ping", "name", "address"].map(
    (deed) => `${honest[deed]} ms (${(honest[deed] / Math.max(1, calm[deed])).toFixed(1)} x)`,
  );
  return `| ${[attack, ...cells, `${(100 * cpu).toFixed(0)} %`, `+${(rss.most - rss.before).toFixed(0)} MB`].join(" | ")} |`;
};

const seconds = Number(option("--seconds") ?? SECONDS);
await benchLab(4, async (lab) => {
  const field = new Field(lab);
  await field.setUp();
  const calm = await field.run("none", seconds);
  const outcomes = [calm];
  for (const flood of floods) {
    const outcome = await field.run(flood, seconds);
    console.log(outcomeText(outcome));
    outcomes.push(outcome);
  }
  console.log(`\n${seconds} s each; the longest of each deed, and how many times that of none:\n`);
  console.log(
    "| flood | connection | ping | name | address | CPU of the victim | memory |\n|---|---|---|---|---|---|---|",
  );
  for (const outcome of outcomes) console.log(row(outcome, calm));
});
