import { createHash } from "node:crypto";

/** Crockford's base 32 (https://www.crockford.com/base32.html): no letter looks like a digit, case does not count. */
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** 24 digits have 120 bits: no second key with one fingerprint can be found. */
const LENGTH = 24;
const GROUP = 4;

/**
 * Returns a short form of an identity that people can compare, by eye or on the phone: six groups of four digits and letters.
 *
 * @param identity Ed25519 public key, 64 hexadecimal digits
 */
export function fingerprint(identity: string): string {
  const hash = createHash("sha256").update("weave identity").update(Buffer.from(identity, "hex")).digest();
  let [bits, held, text] = [0, 0, ""];
  for (const byte of hash) {
    held = ((held & 0x1f) << 8) | byte;
    bits += 8;
    for (; bits >= 5 && text.length < LENGTH; bits -= 5) text += DIGITS[(held >> (bits - 5)) & 0x1f];
  }
  return text.match(new RegExp(`.{${GROUP}}`, "g"))!.join("-");
}

/** Returns the first two groups of a fingerprint, for lines that have no room for all: they distinguish, and prove nothing. */
export const shortFingerprint = (identity: string): string => fingerprint(identity).slice(0, 2 * GROUP + 1);

/** Reads what a person may have typed as a fingerprint: without hyphens, or in lower case. */
export const sameFingerprint = (typed: string, identity: string): boolean =>
  typed.toUpperCase().replace(/-/g, "") === fingerprint(identity).replace(/-/g, "");
