import type { Hash } from "node:crypto";

/** Compares by code units: the same on every host, in any locale. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** 132 bits of a hash in 22 characters: a collision by chance is impossible in practice. */
export const shortHash = (hash: Hash): string => hash.digest("base64url").slice(0, 22);

/** Bytes to lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
