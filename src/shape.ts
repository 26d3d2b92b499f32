/** The values of an option that can be listed: these words (one, or several with commas between), or the host's files or interfaces. */
export type Listing =
  | { readonly kind: "words" | "list"; readonly words: readonly string[] }
  | { readonly kind: "file" | "interface" };

/** The possible values of an option: parses text (a flag, a variable), and checks values from a file. */
export interface Shape<T> {
  /** For completion in a shell; undefined where the values cannot be listed. */
  readonly listing?: Listing;
  /** Completes "it must be …": form, unit and range. */
  readonly expected: string;
  /** Parses a text. @throws Error for an invalid text; its message is the reason, and may be empty */
  parse(text: string): T;
  /** Checks a value. @throws Error for a value that does not have the shape */
  check(value: unknown): T;
}

/** A whole number from `min` to `max`. @param also a further number outside the range, with its meaning */
export function whole(
  min: number,
  max: number,
  unit = "a whole number",
  also?: readonly [number, string],
): Shape<number> {
  const check = (value: unknown): number => {
    const fits = Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
    return fits || (also !== undefined && value === also[0]) ? (value as number) : misfit();
  };
  return {
    expected: `${unit} from ${min} to ${max}${also === undefined ? "" : `, or ${also[0]} for ${also[1]}`}`,
    parse: (text) => (/^-?\d{1,15}$/.test(text) ? check(Number(text) + 0) : misfit()),
    check,
  };
}

/** Seconds from `min` to `max`, also in tenths, hundredths or thousandths. */
export function seconds(min: number, max: number): Shape<number> {
  const check = (value: unknown): number =>
    typeof value === "number" && value >= min && value <= max ? value : misfit();
  return {
    expected: `seconds from ${min} to ${max}, such as 0.5`,
    parse: (text) => (/^\d{1,6}(\.\d{1,3})?$/.test(text) ? check(Number(text)) : misfit()),
    check,
  };
}

/**
 * Text that `test` accepts.
 *
 * @param test returns false or throws for an invalid text; an error's message is the reason
 * @param read converts the text to the value
 */
export function text(
  expected: string,
  test: (text: string) => unknown = () => true,
  read: (text: string) => string = (given) => given,
): Shape<string> {
  const check = (value: unknown): string => (typeof value === "string" && test(value) !== false ? value : misfit());
  return { expected, parse: (given) => check(read(given)), check };
}

/** Makes a test from a parser; the parser's error messages are dropped. */
export const accepts =
  (parse: (text: string) => unknown) =>
  (given: string): boolean => {
    try {
      parse(given);
      return true;
    } catch {
      return false;
    }
  };

/** One of some words. @param words each word, with its value */
export function choice<const T extends string>(words: Readonly<Record<string, T>>): Shape<T> {
  const values: readonly unknown[] = Object.values(words);
  const names = [...new Map(Object.entries(words).map(([word, value]) => [value, word])).values()];
  return {
    listing: { kind: "words", words: names },
    expected: `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`,
    parse: (given) => (Object.hasOwn(words, given) ? words[given] : misfit()),
    check: (value) => (values.includes(value) ? (value as T) : misfit()),
  };
}

/** A boolean, with a word for each value. */
function boolean(yes: string, no: string): Shape<boolean> {
  return {
    listing: { kind: "words", words: [yes, no] },
    expected: `${yes} or ${no}`,
    parse: (given) => (given === yes ? true : given === no ? false : misfit()),
    check: (value) => (typeof value === "boolean" ? value : misfit()),
  };
}

export const trueFalse = boolean("true", "false");
export const onOff = boolean("on", "off");

/** A list of values, separated by commas; the empty text is the empty list. */
export function commaList<T>(expected: string, of: Shape<T>): Shape<readonly T[]> {
  const each = <V>(values: readonly V[], read: (value: V) => T): T[] =>
    values.map((value) => {
      try {
        return read(value);
      } catch {
        throw new Error(`${JSON.stringify(value)} is none`);
      }
    });
  return {
    listing: of.listing?.kind === "words" ? { kind: "list", words: of.listing.words } : undefined,
    expected,
    parse: (given) =>
      each(
        given.split(",").filter((part) => part !== ""),
        of.parse,
      ),
    check: (value) => (Array.isArray(value) ? each(value, of.check) : misfit()),
  };
}

/** The values of a repeatable flag: each occurrence adds one. */
export function repeated<T>(of: Shape<T>): Shape<readonly T[]> {
  return {
    listing: of.listing,
    expected: of.expected,
    parse: (given) => [of.parse(given)],
    check: (value) => (Array.isArray(value) ? value.map(of.check) : misfit()),
  };
}

/** A value that may be missing: the empty text stands for no value. */
export function optional<T>(of: Shape<T>): Shape<T | undefined> {
  return {
    listing: of.listing,
    expected: of.expected,
    parse: (given) => (given === "" ? undefined : of.parse(given)),
    check: (value) => (value === undefined ? undefined : of.check(value)),
  };
}

/** A text of a shape, or the empty text. @param means the meaning of the empty text */
export function orEmpty(of: Shape<string>, means: string): Shape<string> {
  return {
    listing: of.listing,
    expected: `${of.expected}, or "" for ${means}`,
    parse: (given) => (given === "" ? "" : of.parse(given)),
    check: (value) => (value === "" ? "" : of.check(value)),
  };
}

/** Rejects a value without a reason: {@link Shape.expected} explains it. */
function misfit(): never {
  throw new Error("");
}
