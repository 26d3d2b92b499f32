import { invalidValue } from "#src/errors.js";
import { type Shape, trueFalse } from "#src/shape.js";

/**
 * One row of the launch schema: everything that is known of a flag. Parsing, validation by the command and by the router,
 * the type of the options, help and the table in docs/commands.md are made of it.
 */
export interface Flag<T> {
  /** Without dashes. A single letter has one dash. */
  readonly flag: string;
  /** Other spellings. */
  readonly aliases?: readonly string[];
  /** The variable that gives the value when the flag does not; an empty one counts as unset. */
  readonly env?: string;
  readonly shape: Shape<T>;
  readonly default: T | ((env: NodeJS.ProcessEnv) => T);
  /** The default in words, where it depends on the host or on other flags. */
  readonly defaultText?: string;
  /** Variables that a computed default depends on. */
  readonly defaultFrom?: string;
  /** Of the value, in help: `port` for `--port <port>`. A flag without one is a switch. */
  readonly placeholder?: string;
  /** What a switch sets when it is given. */
  readonly given?: T;
  /** One sentence without a full stop. */
  readonly meaning: string;
  readonly section: string;
  /** May be given more than once: the values add up. */
  readonly repeatable?: boolean;
  /** Its value is never shown. */
  readonly secret?: boolean;
}

/** Rows by the names of the options that they set. */
// biome-ignore lint/suspicious/noExplicitAny: rows of all types stand in one table; Values gives each its own type again
export type Rows = Readonly<Record<string, Flag<any>>>;

/** The options that a table of rows describes. */
export type Values<R extends Rows> = { readonly [K in keyof R]: R[K] extends Flag<infer T> ? T : never };

/** Types a row: the default must be of the shape. */
export const flag = <T>(row: Flag<T>): Flag<T> => row;

/** A switch: off unless given. */
export const toggle = (flag: string, section: string, meaning: string): Flag<boolean> => ({
  flag,
  shape: trueFalse,
  default: false,
  given: true,
  section,
  meaning,
});

/** A switch that turns something off which is on by default. */
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
 * The value of a row that was not given: of its variable, else its default.
 *
 * @throws WEAVE_FLAG_INVALID naming the variable, or where a computed default comes from
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
 * Checks options that come from a file. Those that it lacks have their defaults: a file of an earlier version does not know
 * later flags. Variables are not read: they counted when the file was written.
 *
 * @throws WEAVE_FLAG_INVALID naming the flag
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
