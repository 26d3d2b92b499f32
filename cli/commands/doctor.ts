import { LEVELS, type Level } from "#cli/doctor/check.js";
import { diagnose, doctorDocument } from "#cli/doctor/doctor-document.js";
import type { CheckFinding } from "#cli/doctor/run-checks.js";
import { coloured } from "#cli/support/colour.js";
import { usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** Exit status when a check has failed. 1 is that of wrong arguments. */
const EXIT_FAIL = 2;
/** Maximum number of named hosts: each is a connection. */
const MAX_TARGETS = 64;
/** Columns of the names of checks. */
const NAME_COLUMNS = 12;
const COLOURS = { ok: "green", warn: "yellow", fail: "red" } as const satisfies Record<Level, string>;

/** `weave doctor [--json] [--all] [host…]`: checks this host, its router and its paths to peers; changes nothing. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("doctor", args);
  if (words.length > MAX_TARGETS) throw usageError(`at most ${MAX_TARGETS} hosts can be tried at the same time`);
  const diagnosis = await diagnose(words);
  const { findings, level, complete } = diagnosis;
  const text = values.json ? await doctorDocument(diagnosis) : textOf(findings, values.all);
  process.exitCode = level === "fail" ? EXIT_FAIL : 0;
  // A program that has not ended in time would keep this process.
  process.stdout.write(text, () => void (complete || process.exit()));
}

/** The findings for people: warnings and failures with cause and remedy, good ones by their number unless all are requested. */
function textOf(findings: readonly CheckFinding[], all: boolean): string {
  const shown = findings.filter(({ level }) => all || level !== "ok");
  const lines = shown.flatMap(({ check, level, what, cause, remedy }) => [
    `${coloured(level.padEnd(4), COLOURS[level])} ${check.padEnd(NAME_COLUMNS)} ${what}`,
    ...(cause === undefined ? [] : [`${" ".repeat(NAME_COLUMNS + 6)}cause: ${cause}`]),
    ...(remedy === undefined ? [] : [`${" ".repeat(NAME_COLUMNS + 6)}remedy: ${remedy}`]),
  ]);
  const counts = LEVELS.map((level) => `${findings.filter((each) => each.level === level).length} ${level}`);
  return `${[...lines, `${counts.join(", ")}${all || shown.length === findings.length ? "" : "; --all shows what is well"}`].join("\n")}\n`;
}
