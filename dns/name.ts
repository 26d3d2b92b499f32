import { isIpv4 } from "#src/address.js";
import { WeaveError } from "#src/errors.js";

/** Longest name in characters, without the final dot: 255 octets on the wire (RFC 1035, 2.3.4). */
const MAX_NAME = 253;
/** Matches a label: 1 to 63 visible ASCII characters (RFC 1035, 2.3.4), except dot and backslash. */
const LABEL = /^[\x21-\x2d\x2f-\x5b\x5d-\x7e]{1,63}$/;

/**
 * Validates a host name, and adds the final dot if it is missing. Upper case is kept.
 *
 * @throws WEAVE_DNS_NAME when it is not a valid name
 */
export function parseName(text: string): string {
  const bare = text.endsWith(".") ? text.slice(0, -1) : text;
  if (bare.length === 0 || bare.length > MAX_NAME || !bare.split(".").every((label) => LABEL.test(label))) {
    throw new WeaveError("WEAVE_DNS_NAME", `${JSON.stringify(text.slice(0, 300))} is no host name`, {
      next: "A name is labels of 1 to 63 ASCII characters, joined by dots, 253 characters in all.",
    });
  }
  return `${bare}.`;
}

/** Converts a name to lower case for comparison: names that differ only in case are equal (RFC 4343). */
export const fold = (name: string): string => name.toLowerCase();

/** Whether a folded name is the domain, or below it. */
export function inDomain(folded: string, domain: string): boolean {
  return folded === domain || folded.endsWith(`.${domain}`);
}

const REVERSE = ".in-addr.arpa.";

/** Whether a folded name is below in-addr.arpa. */
export const isReverse = (folded: string): boolean => folded.endsWith(REVERSE);

/** Returns the IPv4 address of a folded name `d.c.b.a.in-addr.arpa.`; undefined for any other name. */
export function reverseAddress(folded: string): string | undefined {
  if (!isReverse(folded)) return undefined;
  const address = folded.slice(0, -REVERSE.length).split(".").reverse().join(".");
  return isIpv4(address) ? address : undefined;
}
