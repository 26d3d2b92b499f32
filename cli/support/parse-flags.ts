import { parseArgs } from "node:util";
import { invalidValue, WeaveError } from "#src/errors.js";
import { defaultValue, type Flag, flagText, parseValue, type Rows, type Values } from "#src/flag.js";
import { nearest } from "#src/nearest.js";

/** Result of {@link parseFlags}. */
export interface Parsed<R extends Rows> {
  /** For each row: the value of the flag, otherwise of its variable, otherwise the default. */
  readonly values: Values<R>;
  /** Flags that occur more than once although they may not. Their last value counts. */
  readonly doubled: readonly string[];
  /** Keys of the rows whose value is that of the flag or the variable, not the default. */
  readonly given: readonly string[];
  /** The other words. */
  readonly words: readonly string[];
}

/**
 * Parses flags in the syntax of Go's package flag, which Weave Net used: one dash or two, `--flag value` or `--flag=value`, `=true` or
 * `=false` after a switch. They may be before, between and after other words; `--` ends them. Of several values the last counts.
 *
 * @param unknown creates the error for an unknown flag, from the flag as typed and the one that was probably meant
 * @throws WEAVE_FLAG_INVALID, with flag or variable, value and range
 */
export function parseFlags<R extends Rows>(
  rows: R,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  unknown: (typed: string, suggestion: string | undefined) => Error,
): Parsed<R> {
  const spellings = spellingsOf(rows);
  const { tokens } = parseArgs({
    args: normalized(args, spellings),
    options: Object.fromEntries([...spellings].map(([name, { row }]) => [name, optionOf(name, row)])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const given = new Map<string, unknown>();
  const words: string[] = [];
  const doubled: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const spelling = spellings.get(token.name);
    if (spelling === undefined) throw unknown(token.rawName, suggestionFor(token.name, spellings));
    const { key, row, negated } = spelling;
    const value = readToken(row, token.value, negated);
    if (given.has(key) && !row.repeatable) doubled.push(token.rawName);
    given.set(key, row.repeatable ? [...((given.get(key) as unknown[]) ?? []), ...(value as unknown[])] : value);
  }
  const values = Object.entries(rows).map(([key, row]) => [
    key,
    given.has(key) ? given.get(key) : defaultValue(row, env),
  ]);
  const fromVariables = Object.entries(rows).flatMap(([key, { env: name }]) => (name && env[name] ? [key] : []));
  return {
    values: Object.fromEntries(values) as Values<R>,
    doubled,
    given: [...new Set([...given.keys(), ...fromVariables])],
    words,
  };
}

/** One spelling of a flag, and its meaning. */
interface Spelling {
  /** Key of the row. */
  readonly key: string;
  readonly row: Flag<unknown>;
  /** Whether it is `--no-x` of a switch `--x` that is on by default. */
  readonly negated: boolean;
}

function spellingsOf(rows: Rows): Map<string, Spelling> {
  const spellings = new Map<string, Spelling>();
  for (const [key, row] of Object.entries(rows)) {
    for (const name of [row.flag, ...(row.aliases ?? [])]) spellings.set(name, { key, row, negated: false });
    if (row.given === true && row.default === true) spellings.set(`no-${row.flag}`, { key, row, negated: true });
  }
  return spellings;
}

const optionOf = (name: string, row: Flag<unknown>) => ({
  type: row.given === undefined ? ("string" as const) : ("boolean" as const),
  multiple: true,
  ...(name.length === 1 ? { short: name } : {}),
});

/** Adds the second dash of long flags. A word that is the value of a flag stays as it is. */
function normalized(args: readonly string[], spellings: ReadonlyMap<string, Spelling>): string[] {
  const result: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at];
    if (word === "--") return [...result, ...args.slice(at)];
    const long = /^-[a-z][a-z-]/.test(word) ? `-${word}` : word;
    // The parser would make the sign in `-x=value` a part of the value.
    const [name, value] = /^-[a-zA-Z]=/.test(long) ? [long.slice(0, 2), long.slice(3)] : [long, undefined];
    result.push(name, ...(value === undefined ? [] : [value]));
    const row = spellings.get(name.replace(/^--?/, ""))?.row;
    if (row !== undefined && row.given === undefined && value === undefined && at + 1 < args.length)
      result.push(args[++at]);
  }
  return result;
}

function readToken(row: Flag<unknown>, text: string | undefined, negated: boolean): unknown {
  const what = flagText(row);
  if (row.given !== undefined) {
    if (text !== undefined && text !== "true" && text !== "false")
      throw invalidValue(negated ? `--no-${row.flag}` : what, text, "true or false, or be left out");
    if ((text === "false") === negated) return row.given;
    return row.given === row.default ? false : row.default;
  }
  if (text !== undefined) return parseValue(row, what, text);
  throw new WeaveError("WEAVE_FLAG_INVALID", `flag needs an argument: ${what}; it must be ${row.shape.expected}`);
}

function suggestionFor(name: string, spellings: ReadonlyMap<string, Spelling>): string | undefined {
  const near = nearest(
    name,
    [...spellings.keys()].filter((each) => each.length > 1),
  );
  return near === undefined ? undefined : `--${near}`;
}
