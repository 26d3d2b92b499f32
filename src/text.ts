import type { Hash } from "node:crypto";

/** Compares two texts by code units, for sort(): the order does not depend on the locale. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Matches text without control characters and other invisible ones: text of other hosts is shown on terminals. */
export const VISIBLE_TEXT = /^[^\p{C}]*$/u;

/** Replaces the invisible characters of another host's text, so that it is safe for a terminal and a log. */
export const printableText = (text: string): string => text.replace(/\p{C}/gu, "?");

/** A text of another host on one line, without invisible characters, of at most `max` code units; "…" at its end stands for what was cut off. */
export function shortLine(text: string, max: number): string {
  // The cut before spares the work for a text of megabytes.
  const line = text
    .slice(0, 4 * max)
    .replace(/\s+/g, " ")
    .trim();
  // Half of a character, which a cut may leave, is invisible too.
  return printableText(line.length <= max ? line : `${line.slice(0, max - 1)}…`);
}

/** Returns the first 132 bits of a hash as 22 characters (base64url). Collisions by chance are impossible in practice. */
export const shortHash = (hash: Hash): string => hash.digest("base64url").slice(0, 22);

/** Formats bytes as lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
