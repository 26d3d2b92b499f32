import { invalidValue } from "#src/errors.js";
import { type Shape, trueFalse } from "#src/shape.js";

/**
 * One row of the launch schema: the complete description of a flag. Parsing, validation by the command and by the router, the
 * type of the options, help and the table in docs/commands.md are derived from it.
 */
export interface Flag<T> {
  /** Without dashes. A single letter has one dash. */
  readonly flag: string;
  /** Other spellings. */
  readonly aliases?: readonly string[];
  /** The environment variable with the value when the flag is missing; an empty one counts as unset. */
  readonly env?: string;
  readonly shape: Shape<T>;
  readonly default: T | ((env: NodeJS.ProcessEnv) => T);
  /** The default in words, where it depends on the host or on other flags. */
  readonly defaultText?: string;
  /** Variables that a computed default depends on. */
  readonly defaultFrom?: string;
  /** The name of the value in help: `port` for `--port <port>`. A flag without one is a switch. */
  readonly placeholder?: string;
  /** The value of a switch that is on the command line. */
  readonly given?: T;
  /** One sentence without a full stop. */
  readonly meaning: string;
  readonly section: string;
  /** The flag may occur more than once: its values are collected. */
  readonly repeatable?: boolean;
  /** Its value is never shown. */
  readonly secret?: boolean;
}

/** Rows, by the names of their options. */
// biome-ignore lint/suspicious/noExplicitAny: rows of all types stand in one table; Values gives each its own type again
export type Rows = Readonly<Record<string, Flag<any>>>;

/** The options that a table of rows describes. */
export type Values<R extends Rows> = { readonly [K in keyof R]: R[K] extends Flag<infer T> ? T : never };

/** Types a row: the default must have the shape. */
export const flag = <T>(row: Flag<T>): Flag<T> => row;

/** A switch that is off by default. */
export const toggle = (flag: string, section: string, meaning: string): Flag<boolean> => ({
  flag,
  shape: trueFalse,
  default: false,
  given: true,
  section,
  meaning,
});

/** A switch that turns off a feature which is on by default. */
export const offSwitch = (flag: string, section: string, meaning: string): Flag<boolean> => ({
  ...toggle(flag, section, meaning),
  default: true,
  given: false,
});

/** The flag as it is typed. */
export const flagText = ({ flag }: Pick<Flag<unknown>, "flag">): string => `${flag.length === 1 ? "-" : "--"}${flag}`;

/** Reads the text of a flag or variable. @param what names it in the message. @throws WEAVE_FLAG_INVALID */
export function parseValue<T>(row: Flag<T>, what: string, text: string): T {
  return attempt(row, what, text, () => row.shape.parse(text));
}

/**
 * The value of a row whose flag is missing: of its variable, else its default.
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
 * Checks options that come from a file. Missing ones have their defaults: a file of an earlier version does not contain later
 * flags. Variables are not read: they were applied when the file was written.
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
