import { invalidValue } from "#src/errors.js";
import { type Shape, trueFalse } from "#src/shape.js";

/**
 * One row of the launch schema: the complete description of a flag. Parsing, validation by the command and by the router, the
 * type of the options, help and the table in docs/commands.md are derived from it.
 */
export interface Flag<T> {
  /** The name without dashes. A single letter is typed with one dash, a longer name with two. */
  readonly flag: string;
  /** Other names of the same flag. */
  readonly aliases?: readonly string[];
  /** The environment variable that is read when the flag is missing; an empty variable counts as unset. */
  readonly env?: string;
  readonly shape: Shape<T>;
  readonly default: T | ((env: NodeJS.ProcessEnv) => T);
  /** The default in words, where it depends on the host or on other flags. */
  readonly defaultText?: string;
  /** Environment variables that a computed default depends on, for error messages. */
  readonly defaultFrom?: string;
  /** The name of the value in help: `port` for `--port <port>`. A flag without one is a switch. */
  readonly placeholder?: string;
  /** The value of a switch that is present on the command line, or whose variable is set. */
  readonly given?: T;
  /** The description in help: one sentence without a full stop. */
  readonly meaning: string;
  readonly section: string;
  /** The flag may occur more than once: its values are collected. */
  readonly repeatable?: boolean;
  /** The value is never displayed. */
  readonly secret?: boolean;
}

/** A table of rows, by option name. */
// biome-ignore lint/suspicious/noExplicitAny: one table has rows of all types; Values restores the type of each
export type Rows = Readonly<Record<string, Flag<any>>>;

/** The options that a table of rows describes. */
export type Values<R extends Rows> = { readonly [K in keyof R]: R[K] extends Flag<infer T> ? T : never };

/** Returns the row; the compiler checks that its default has the type of its shape. */
export const flag = <T>(row: Flag<T>): Flag<T> => row;

/** Makes the row of a switch that is off by default. */
export const toggle = (flag: string, section: string, meaning: string): Flag<boolean> => ({
  flag,
  shape: trueFalse,
  default: false,
  given: true,
  section,
  meaning,
});

/** Makes the row of a switch that turns off a feature which is on by default. */
export const offSwitch = (flag: string, section: string, meaning: string): Flag<boolean> => ({
  ...toggle(flag, section, meaning),
  default: true,
  given: false,
});

/** Returns the flag as it is typed, with dashes. */
export const flagText = ({ flag }: Pick<Flag<unknown>, "flag">): string => `${flag.length === 1 ? "-" : "--"}${flag}`;

/** Parses the text of a flag or variable. @param what its name in an error message. @throws WEAVE_FLAG_INVALID */
export function parseValue<T>(row: Flag<T>, what: string, text: string): T {
  return attempt(row, what, text, () => row.shape.parse(text));
}

/**
 * Returns the value of a flag that is missing on the command line: from its environment variable, else the default.
 *
 * @throws WEAVE_FLAG_INVALID, which names the variable, or the source of a computed default
 */
export function defaultValue<T>(row: Flag<T>, env: NodeJS.ProcessEnv): T {
  const text = row.env === undefined ? undefined : env[row.env];
  if (row.env === undefined || text === undefined || text === "") return fallback(row, env);
  return row.given === undefined ? parseValue(row, row.env, text) : row.given;
}

function fallback<T>(row: Flag<T>, env: NodeJS.ProcessEnv): T {
  if (typeof row.default !== "function") return row.default;
  const value = (row.default as (env: NodeJS.ProcessEnv) => T)(env);
  const from = row.defaultFrom === undefined ? "" : ` (from ${row.defaultFrom})`;
  return attempt(row, `${flagText(row)}${from}`, value, () => row.shape.check(value));
}

/**
 * Checks options that were read from a file. Missing options get their defaults, because a file of an earlier version lacks later
 * flags. The variables of flags are not read: they were applied when the file was written.
 *
 * @throws WEAVE_FLAG_INVALID, which names the flag
 */
export function checkValues<R extends Rows>(rows: R, raw: Readonly<Record<string, unknown>>): Values<R> {
  const entries = Object.entries(rows).map(([key, row]) => {
    const value = raw[key];
    if (value === undefined) return [key, fallback(row, process.env)];
    return [key, attempt(row, flagText(row), value, () => row.shape.check(value))];
  });
  return Object.fromEntries(entries) as Values<R>;
}

function attempt<T>(row: Flag<T>, what: string, value: unknown, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw invalidValue(what, row.secret ? "(hidden)" : value, row.shape.expected, (error as Error).message);
  }
}
