import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { WeaveError } from "#src/errors.js";

export interface Cidr {
  /** Dotted quad, as given. */
  readonly address: string;
  readonly prefix: number;
  /** `address/prefix` */
  readonly text: string;
  /** The network: host bits zero. */
  readonly subnet: string;
}

/** The address of `address/prefix`; an address without a prefix as it is. */
export const addressOfCidr = (cidr: string): string => cidr.split("/", 1)[0];

/** Reads `a.b.c.d/n`. @throws WEAVE_ADDRESS_INVALID */
export function parseCidr(text: string): Cidr {
  if (/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/.test(text) && ipaddr.IPv4.isValidCIDR(text)) {
    const [address, prefix] = ipaddr.IPv4.parseCIDR(text);
    const subnet = `${ipaddr.IPv4.networkAddressFromCIDR(text).toString()}/${prefix}`;
    return { address: address.toString(), prefix, text: `${address.toString()}/${prefix}`, subnet };
  }
  throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid CIDR address: ${text.slice(0, 64)}`, {
    next: "An address is a dotted quad with a prefix length, such as 10.2.1.1/24.",
  });
}

/** Whether an IPv4 address is in one of the networks. Any other text is in none. */
export function inSubnets(address: string, subnets: readonly Cidr[]): boolean {
  if (!ipaddr.IPv4.isValidFourPartDecimal(address)) return false;
  const ip = ipaddr.IPv4.parse(address);
  return subnets.some(({ subnet }) => ip.match(ipaddr.IPv4.parseCIDR(subnet)));
}

export function isIpv4(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text);
}

/** An IPv6 address in the canonical form of RFC 5952; undefined for any other text. */
export function canonicalIpv6(text: string): string | undefined {
  return isIPv6(text) && !text.includes("%") ? ipaddr.IPv6.parse(text).toRFC5952String() : undefined;
}
