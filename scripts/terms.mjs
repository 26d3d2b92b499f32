// The term check of lint: words that the project does not use, in identifiers, comments, messages and pages.
//
//   node scripts/terms.mjs                    the whole tree
//   node scripts/terms.mjs FOLDER|FILE...     only these
//   node scripts/terms.mjs --advice [PATH...] as well the words that a reader must judge; these never fail
//
// Prints file:line, the rejected word and its replacement; ends with 1 when there is one.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Phrases, matched without regard to case, also inside identifiers (`lastHeardAt` is read as "last Heard At").
 * @type {readonly (readonly [RegExp, string])[]}
 */
const WORDS = [
  [/the original(?:'s)?/, "nothing, or Weave Net where a reader needs it (docs/compatibility.md explains it once)"],
  [/whoever|whomever/, "the peer that, any client that"],
  [/(?:some|any|every)body/, "a peer, a process, any client, all peers"],
  [/nobody/, "no peer, no process, no client"],
  [/whom/, "which peer, for which, of which"],
  [/to be had/, "available"],
  [/anew/, "again"],
  [/(?:with)?in reach/, "reachable"],
  [/out of reach/, "unreachable"],
  [/tells?|told|telling|tellings/, "report, notify, send, announce; distinguish"],
  [/hears?|heard|hearing/, "receive, learn"],
  [/obey(?:s|ed|ing)?/, "apply, follow, drain"],
  [/what is due/, "due attempts, pending work"],
  [/for want of/, "for lack of, because there is no"],
  [/a moment ago/, "just now, new"],
  [/set aside/, "rejected, ignored"],
  [/(?:takes?|took) rights/, "copy permissions (copySocketPermissions)"],
  [/pieces?/, "fragment (of a record), segment run (of a super-frame), part"],
  [/surrogates?/, "relayOnlyGossiper"],
  [/surroundings/, "Deps (collaborators), Options (values)"],
  [/says so|said so|saying so/, "reports it"],
  [/is of no use/, "is useless, is ignored"],
  [/by its word|at its word|on the word of/, "because a peer reports it, unverified"],
  [/without a word|no word of/, "silently, without notice"],
  [/look inside/, "inspectNamespace, inspect"],
  [/machine bytes/, "machineIdBytes"],
];

/** Identifiers, matched as they are written, in sources alone. */
const IDENTIFIERS = [
  [/\bParts\b/, "Deps"],
  [/\bBook\b/, "PluginStore"],
  [/\bNeighbours\b/, "ArpSettings"],
  [/\bExtent\b/, "RuleSet"],
  [/\baround(?=[?:]|\.[a-z])/, "deps"],
  [/#raised\b|\.raised\b/, "commandCount"],
];

/** For a reader to judge: often right, often a human verb for what a program does, or a relative clause used as a noun. */
const ADVICE = [
  [/asks?|asked|asking/, "request, query"],
  [/says?|said/, "report, state, contain"],
  [/mends?|mended/, "repair, fix"],
  [/whatever|whichever/, "any"],
  [/at once/, "immediately, or at the same time"],
  [/strangers?/, "unauthenticated client"],
  [/(?:comes?|came) by/, "receive"],
  [/(?:what|those that|who|which) (?:is|are|was|were|has|have|it|we|they|came|comes|goes)/, "a noun"],
  [/gives?|gave|given/, "pass, return, assign"],
  [/all that/, "everything, each"],
];

/** Checked when no path is given: the whole tree. */
const CLEAN = ["."];

const SOURCES = new Set([".ts", ".mjs", ".c", ".sh"]);
const KINDS = new Set([...SOURCES, ".md", ".yml"]);
/** This table itself, and its test. */
const EXEMPT = new Set(["scripts/terms.mjs", "test/unit/terms.test.ts"]);
/** Names that other projects use, and output that stays, quoted. */
const QUOTED = {
  "docs/glossary.md": ["surrogate"],
  // A label of status, which scripts read.
  "router/peers/status.ts": ["Out Of Reach"],
  "test/unit/router/peers/peers.test.ts": ["Out Of Reach"],
};

const bounded = (pattern) => new RegExp(`(?<![a-z])(?:${pattern.source})(?![a-z])`, "gi");
const words = WORDS.map(([pattern, instead]) => [bounded(pattern), instead]);
const advice = ADVICE.map(([pattern, instead]) => [bounded(pattern), instead]);

/** Identifiers as words: `lastHeardAt`, `HEARD_AT`. */
const split = (line) => line.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replaceAll("_", " ");

/** Rejected words of a text: line (from 1), what was found, what to write. */
function findings(text, isSource, withAdvice) {
  return text.split("\n").flatMap((line, index) => {
    const found = [];
    const search = (where, table, level) => {
      for (const [pattern, instead] of table)
        for (const match of where.matchAll(
          new RegExp(pattern, pattern.flags.includes("g") ? pattern.flags : `${pattern.flags}g`),
        ))
          found.push({ line: index + 1, word: match[0], instead, level });
    };
    search(split(line), words, "error");
    if (isSource) search(line, IDENTIFIERS, "error");
    if (withAdvice) search(split(line), advice, "advice");
    return found;
  });
}

const args = process.argv.slice(2);
const withAdvice = args.includes("--advice");
const paths = args.filter((arg) => !arg.startsWith("-"));
const chosen = paths.length > 0 ? paths : CLEAN;

/** Files of the tree below a folder, or one file wherever it is. */
function filesOf(path) {
  if (statSync(path).isFile()) return [path];
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", path];
  const names = execFileSync("git", args, { encoding: "utf8" }).split("\0");
  // Packaging is mostly files without an extension: maintainer scripts, units, a Dockerfile.
  const isChecked = (name) => KINDS.has(extname(name)) || name.startsWith("packaging/");
  return names.filter((name) => isChecked(name) && !EXEMPT.has(name) && existsSync(name));
}

const files = chosen.flatMap(filesOf);
let errors = 0;
for (const file of files) {
  for (const { line, word, instead, level } of findings(
    readFileSync(file, "utf8"),
    SOURCES.has(extname(file)),
    withAdvice,
  )) {
    if (QUOTED[file]?.includes(word)) continue;
    if (level === "error") errors++;
    console.log(`${file}:${line}: ${level === "advice" ? "(judge) " : ""}"${word}": write ${instead}`);
  }
}
if (errors > 0) {
  console.log(`${errors} rejected words. ${fileURLToPath(import.meta.url).replace(/.*\//, "scripts/")} has the table.`);
  process.exitCode = 1;
}
