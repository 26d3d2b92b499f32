/**
 * JSON whose numbers keep their digits, which JavaScript cannot hold beyond 53 bits (64-bit sizes, say). While it is parsed, such a number is
 * a string that begins with U+0001 and "n"; a string that begins with U+0001 by itself gets an "s" after it. So no string
 * from a client is taken for a number.
 *
 * Not lossless-json: it rejects an object with two different values of one key, where the engine takes the last.
 */
const STRING = '"(?:[^"\\\\]|\\\\.)*"';
const TOKENS = new RegExp(`${STRING}|-?\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?`, "g");
const STRINGS = new RegExp(STRING, "g");
/** The beginning of a string with U+0001, which JSON can write in this way only. */
const MARK = '"\\u0001';

/** As JSON.parse, but numbers keep their digits through {@link stringifyExact}. @throws SyntaxError */
export function parseExact(text: string): unknown {
  return JSON.parse(
    text.replace(TOKENS, (token) => {
      if (token.startsWith(MARK)) return `${MARK}s${token.slice(MARK.length)}`;
      if (token.startsWith('"') || String(Number(token)) === token) return token;
      return `${MARK}n${token}"`;
    }),
  );
}

/** @param value of {@link parseExact}, changed or not */
export function stringifyExact(value: unknown): string {
  return JSON.stringify(value).replace(STRINGS, (token) => {
    if (!token.startsWith(MARK)) return token;
    const kind = token[MARK.length];
    const rest = token.slice(MARK.length + 1);
    return kind === "n" ? rest.slice(0, -1) : MARK + rest;
  });
}

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The strings of a list that may be absent, null, or something else. */
export function stringsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}
