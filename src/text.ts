import type { Hash } from "node:crypto";

/** Compares two texts by code units, for sort(): the order does not depend on the locale. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Returns the first 132 bits of a hash as 22 characters (base64url). Collisions by chance are impossible in practice. */
export const shortHash = (hash: Hash): string => hash.digest("base64url").slice(0, 22);

/** Formats bytes as lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
