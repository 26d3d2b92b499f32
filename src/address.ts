import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { WeaveError } from "#src/errors.js";

/**
 * An IPv4 address with a prefix length: of the overlay (--ipalloc-range), or of trusted hosts (--trusted-subnets). src/net has the
 * other addresses of hosts, of any family.
 */
export interface Cidr {
  /** The address as a dotted quad, host bits included. */
  readonly address: string;
  /** Prefix length, 0 to 32. */
  readonly prefix: number;
  /** `address/prefix` */
  readonly text: string;
  /** The network as `network/prefix`: host bits are zero. */
  readonly subnet: string;
}

/** Returns the address of `address/prefix`; text without a prefix is returned unchanged. */
export const addressOfCidr = (cidr: string): string => cidr.split("/", 1)[0];

/** Parses `a.b.c.d/n`. @throws WEAVE_ADDRESS_INVALID */
export function parseCidr(text: string): Cidr {
  if (isCidr(text)) {
    const [address, prefix] = ipaddr.IPv4.parseCIDR(text);
    const subnet = `${ipaddr.IPv4.networkAddressFromCIDR(text).toString()}/${prefix}`;
    return { address: address.toString(), prefix, text: `${address.toString()}/${prefix}`, subnet };
  }
  throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid CIDR address: ${text.slice(0, 64)}`, {
    next: "An address is a dotted quad with a prefix length, such as 10.2.1.1/24.",
  });
}

/** Whether an IPv4 address is in one of the networks; false for text that is no IPv4 address. */
export function inSubnets(address: string, subnets: readonly Cidr[]): boolean {
  if (!ipaddr.IPv4.isValidFourPartDecimal(address)) return false;
  const ip = ipaddr.IPv4.parse(address);
  return subnets.some(({ subnet }) => ip.match(ipaddr.IPv4.parseCIDR(subnet)));
}

/** Whether {@link parseCidr} takes a text. */
export function isCidr(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/.test(text) && ipaddr.IPv4.isValidCIDR(text);
}

/** Whether a text is an IPv4 address as a dotted quad. */
export function isIpv4(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text);
}

/** Converts an IPv6 address to the canonical form of RFC 5952; undefined for any other text. */
export function canonicalIpv6(text: string): string | undefined {
  return isIPv6(text) && !text.includes("%") ? ipaddr.IPv6.parse(text).toRFC5952String() : undefined;
}
