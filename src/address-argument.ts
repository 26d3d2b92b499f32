import { parseCidr } from "#src/address.js";

/** A user's request for an address: a certain address, or any free one of a subnet (`""`: the default subnet). */
export type AddressArgument =
  | { readonly kind: "ip"; readonly cidr: string }
  | { readonly kind: "net"; readonly subnet: string };

export const DEFAULT_SUBNET: AddressArgument = { kind: "net", subnet: "" };

/**
 * Parses `[ip:]a.b.c.d/n`, `net:a.b.c.d/n` or `net:default`; undefined for any other word.
 *
 * @throws WEAVE_ADDRESS_INVALID when the address or the subnet is not valid
 */
export function parseAddressArgument(word: string): AddressArgument | undefined {
  if (word === "net:default") return DEFAULT_SUBNET;
  if (word.startsWith("net:")) return { kind: "net", subnet: parseCidr(word.slice("net:".length)).text };
  if (word.startsWith("ip:")) return { kind: "ip", cidr: parseCidr(word.slice("ip:".length)).text };
  return /^\d+\.\d+\.\d+\.\d+\/\d+$/.test(word) ? { kind: "ip", cidr: parseCidr(word).text } : undefined;
}
