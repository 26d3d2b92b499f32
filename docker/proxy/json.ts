/**
 * JSON whose numbers keep all their digits. JavaScript would round numbers beyond 53 bits, such as 64-bit sizes. A parsed value has
 * each such number as a string that begins with U+0001 and "n". In a string that itself begins with U+0001, an "s" is inserted after it,
 * so that no string from a client is mistaken for a number.
 *
 * The library lossless-json does not fit: it rejects an object with two different values for one key, where the engine uses the last.
 */
const STRING = '"(?:[^"\\\\]|\\\\.)*"';
const TOKENS = new RegExp(`${STRING}|-?\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?`, "g");
const STRINGS = new RegExp(STRING, "g");
/** JSON text of the beginning of a string with U+0001: JSON requires the escape. */
const MARK = '"\\u0001';

/** Parses JSON so that {@link stringifyExact} writes all numbers with their digits. @throws SyntaxError */
export function parseExact(text: string): unknown {
  return JSON.parse(
    text.replace(TOKENS, (token) => {
      if (token.startsWith(MARK)) return `${MARK}s${token.slice(MARK.length)}`;
      if (token.startsWith('"') || String(Number(token)) === token) return token;
      return `${MARK}n${token}"`;
    }),
  );
}

/** Writes JSON. @param value result of {@link parseExact}, changed or not */
export function stringifyExact(value: unknown): string {
  return JSON.stringify(value).replace(STRINGS, (token) => {
    if (!token.startsWith(MARK)) return token;
    const kind = token[MARK.length];
    const rest = token.slice(MARK.length + 1);
    return kind === "n" ? rest.slice(0, -1) : MARK + rest;
  });
}

/** A parsed JSON object. */
export type JsonObject = Record<string, unknown>;

/** Whether a value is an object, and neither null nor an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The strings of a value that may be a string, a list, or anything else. */
export function stringsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}
