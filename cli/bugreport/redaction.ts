import { headerEnd, innerStringEnd, lineEnd, pemEnd, stringEnd, userEnd, wordEnd } from "#cli/bugreport/secret-ends.js";

/** What stands in the place of a secret. */
export const REDACTED = "[removed]";

/** A known secret that is shorter would be found in other words: it is removed where it stands behind a name alone. */
const LEAST_CHARS = 6;

/** Names whose values are secrets: in options, variables, flags and headers; not with the path of a file as value. */
const NAMES =
  "(?:password|passwd|secret|token|passphrase|private[_-]?key|api[_-]?key|authorization|cookie)(?!-?_?file)";
const NAME = `[\\w-]{0,64}${NAMES}[\\w-]{0,64}`;
const KEY = `[\\w.-]{0,64}${NAMES}[\\w.-]{0,64}`;
const SPACE = "\\s{0,64}";

/** A place of secrets that are not known. */
export interface SecretPlace {
  /** What is before a secret. It repeats nothing without a limit: a log can have a line of megabytes. */
  readonly before: RegExp;
  /** Finds the end of the secret that begins at `at`; `at`: there is none. */
  readonly end: (text: string, at: number) => number;
}

/** The places, in the order in which they are looked for. */
export const SECRET_PLACES: readonly SecretPlace[] = [
  // PEM: the whole block.
  { before: /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----/g, end: pemEnd },
  // A text in JSON, and in JSON within JSON. The quotes stay.
  { before: new RegExp(`"${KEY}"${SPACE}:${SPACE}"`, "gi"), end: stringEnd },
  { before: new RegExp(`\\\\"${KEY}\\\\"${SPACE}:${SPACE}\\\\"`, "gi"), end: innerStringEnd },
  // A header, with its scheme.
  { before: /\b(?:authorization|cookie|set-cookie):\s{0,64}/gi, end: headerEnd },
  { before: /\b(?:bearer|basic)\s{1,64}(?=[\w+/=.~-]{8})/gi, end: wordEnd },
  // A line of variables: it has the value to its end.
  { before: new RegExp(`^[ \\t#;]{0,64}(?:export[ \\t]{1,8})?${NAME}=`, "gim"), end: lineEnd },
  // A variable, or a flag with its value, that is a string as a whole: in a list of JSON, in a unit of systemd.
  { before: new RegExp(`(?<!\\\\)"${NAME}[=:]`, "gi"), end: stringEnd },
  { before: new RegExp(`\\\\"${NAME}[=:]`, "gi"), end: innerStringEnd },
  { before: new RegExp(`'${NAME}[=:]`, "gi"), end: (text, at) => stringEnd(text, at, "'") },
  // A flag in a list, before its value.
  { before: new RegExp(`"-{1,2}${NAME}"${SPACE},${SPACE}"`, "gi"), end: stringEnd },
  { before: new RegExp(`'-{1,2}${NAME}'${SPACE},${SPACE}'`, "gi"), end: (text, at) => stringEnd(text, at, "'") },
  // Elsewhere: `WEAVE_PASSWORD=x`, `password: x`.
  { before: new RegExp(`\\b${NAME}${SPACE}(?:=[ \\t]{0,64}|:${SPACE})`, "gi"), end: restOfWord },
  // A flag. Without dashes a word behind a space is prose.
  { before: new RegExp(`--?${NAME}\\s{1,64}`, "gi"), end: restOfWord },
  // User and password in an address.
  { before: /\b[a-z][a-z0-9+.-]{0,20}:\/\//gi, end: userEnd },
];

/** The end of a word; a quote behind what was removed already ends the string in which it was. */
function restOfWord(text: string, at: number): number {
  return text.startsWith(`${REDACTED}'`, at) ? at : wordEnd(text, at);
}

/** Makes the function that removes secrets from a text: those that are known, in each usual encoding, and what looks like one. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const known = [...new Set(secrets.filter((secret) => secret.length >= LEAST_CHARS).flatMap(encodings))]
    // The longest first: one may contain another.
    .sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const secret of known) clean = clean.replaceAll(secret, REDACTED);
    for (const place of SECRET_PLACES) clean = withoutSecretsAt(place, clean);
    return clean;
  };
}

function withoutSecretsAt({ before, end }: SecretPlace, text: string): string {
  const parts: string[] = [];
  let done = 0;
  before.lastIndex = 0;
  while (before.exec(text) !== null) {
    const from = before.lastIndex;
    const to = end(text, from);
    if (to === from) continue;
    parts.push(text.slice(done, from), REDACTED);
    done = before.lastIndex = to;
  }
  return parts.join("") + text.slice(done);
}

/** A secret as it can stand in logs and files. */
function encodings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    new URLSearchParams([["", secret]]).toString().slice(1),
    bytes.toString("hex"),
    // Without padding, which may be missing; in a longer text the last character can differ.
    bytes.toString("base64").replace(/=+$/, "").slice(0, -1),
    bytes.toString("base64url").slice(0, -1),
  ].filter((text) => text.length >= LEAST_CHARS);
}
