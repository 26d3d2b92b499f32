/** What stands in the place of a secret. */
export const REDACTED = "[removed]";

/** A known secret that is shorter would be found in other words: it is removed where it stands behind a name alone. */
const LEAST_CHARS = 6;

/** Names whose values are secrets: in options, variables, flags and headers. */
const NAMES = "password|passwd|secret|token|passphrase|private[_-]?key|api[_-]?key|authorization|cookie";

/** The same with the path of a file as value. */
const NO_PATH = "(?!-?_?file)";
const VALUE = `(?:"[^"\\n]*"|'[^'\\n]*'|[^\\s",;\\\\]+)`;

/** Texts around secrets that are not known; `$1` is what stays. Names are bounded: a log can have lines of a megabyte. */
const PATTERNS: readonly RegExp[] = [
  // PEM: the whole block.
  /(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
  // A text in JSON, and in JSON within JSON. The quotes stay.
  new RegExp(`("[\\w.-]{0,64}(?:${NAMES})${NO_PATH}[\\w.-]{0,64}"\\s*:\\s*")(?:[^"\\\\]|\\\\.)*`, "gi"),
  new RegExp(`(\\\\"[\\w.-]{0,64}(?:${NAMES})${NO_PATH}[\\w.-]{0,64}\\\\"\\s*:\\s*\\\\")[^"\\\\]*`, "gi"),
  // A header, with its scheme.
  /(\b(?:authorization|cookie|set-cookie):\s*)[^\r\n"]+/gi,
  /(\b(?:bearer|basic)\s+)[\w+/=.~-]{8,}/gi,
  // A variable or a line of options: `WEAVE_PASSWORD=x`, `password: x`; quoted values can have spaces.
  new RegExp(`(\\b[\\w-]{0,64}(?:${NAMES})${NO_PATH}[\\w-]{0,64}\\s*[=:]\\s*)${VALUE}`, "gi"),
  // A flag. Without dashes a word behind a space is prose.
  new RegExp(`(--?[\\w-]{0,64}(?:${NAMES})${NO_PATH}[\\w-]{0,64}\\s+)${VALUE}`, "gi"),
  // User and password in an address.
  /(\b[a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@"]{1,256}@/gi,
];

/** Makes the function that removes secrets from a text: those that are known, in each usual encoding, and what looks like one. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const known = [...new Set(secrets.filter((secret) => secret.length >= LEAST_CHARS).flatMap(encodings))]
    // The longest first: one may contain another.
    .sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const secret of known) clean = clean.replaceAll(secret, REDACTED);
    for (const pattern of PATTERNS) clean = clean.replace(pattern, `$1${REDACTED}`);
    return clean;
  };
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
