import { parseCidr } from "#src/address.js";

/** An address that a user requests: a given one, or one to be allocated in a subnet, `""` being the default one. */
export type AddressArgument =
  | { readonly kind: "ip"; readonly cidr: string }
  | { readonly kind: "net"; readonly subnet: string };

export const DEFAULT_SUBNET: AddressArgument = { kind: "net", subnet: "" };

/**
 * Reads `[ip:]a.b.c.d/n`, `net:a.b.c.d/n` or `net:default`; undefined for any other word.
 *
 * @throws WEAVE_ADDRESS_INVALID
 */
export function parseAddressArgument(word: string): AddressArgument | undefined {
  if (word === "net:default") return DEFAULT_SUBNET;
  if (word.startsWith("net:")) return { kind: "net", subnet: parseCidr(word.slice("net:".length)).text };
  if (word.startsWith("ip:")) return { kind: "ip", cidr: parseCidr(word.slice("ip:".length)).text };
  return /^\d+\.\d+\.\d+\.\d+\/\d+$/.test(word) ? { kind: "ip", cidr: parseCidr(word).text } : undefined;
}
