import { isIpv4 } from "#src/address.js";
import { WeaveError } from "#src/errors.js";

/** RFC 1035, 2.3.4: octets of a name on the wire, and of a label. */
const MAX_NAME = 253;
const LABEL = /^[\x21-\x2d\x2f-\x5b\x5d-\x7e]{1,63}$/;

/**
 * A host name as records have it: as typed, with a dot at its end.
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

/** Names are equal when they differ in case alone (RFC 4343). */
export const fold = (name: string): string => name.toLowerCase();

/** Whether a folded name is the domain or in it. */
export function inDomain(folded: string, domain: string): boolean {
  return folded === domain || folded.endsWith(`.${domain}`);
}

const REVERSE = ".in-addr.arpa.";

/** Whether a folded name is below in-addr.arpa. */
export const isReverse = (folded: string): boolean => folded.endsWith(REVERSE);

/** The IPv4 address of a folded name `d.c.b.a.in-addr.arpa.`; undefined for any other name. */
export function reverseAddress(folded: string): string | undefined {
  if (!isReverse(folded)) return undefined;
  const address = folded.slice(0, -REVERSE.length).split(".").reverse().join(".");
  return isIpv4(address) ? address : undefined;
}
