/** A number that JavaScript cannot hold as it was written: 64-bit sizes, say. It comes back out as it went in. */
const MARK = "\u0001weave-number:";
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = new RegExp(`"${MARK.replace("\u0001", "\\\\u0001")}([^"]+)"`, "g");

/** As JSON.parse, but numbers keep their digits through {@link stringifyExact}. @throws SyntaxError */
export function parseExact(text: string): unknown {
  return JSON.parse(
    text.replace(TOKENS, (token) =>
      token[0] === '"' || String(Number(token)) === token ? token : JSON.stringify(MARK + token),
    ),
  );
}

export function stringifyExact(value: unknown): string {
  return JSON.stringify(value).replace(MARKED, "$1");
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
