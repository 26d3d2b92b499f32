import type { Interval } from "#ipam/ring/interval.js";
import { isIpv4, parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";

/** Number of addresses of the smallest subnet: network address, broadcast address, and two hosts. */
const MIN_SUBNET = 4n;

/** A network of one family, as the interval of its addresses. */
export interface Subnet extends Interval {
  readonly prefix: number;
  /** `network/prefix`: `10.32.0.0/12`. */
  readonly text: string;
}

/** An address with the prefix length of its subnet, as a container gets it. */
export interface Lease {
  readonly address: bigint;
  readonly prefix: number;
}

/** Number of bits of an IPv4 address. */
const BITS = 32;

/** Parses an IPv4 address to an integer. @throws WEAVE_ADDRESS_INVALID */
export function parseAddress(text: string): bigint {
  if (!isIpv4(text))
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid IP address: ${JSON.stringify(text.slice(0, 64))}`);
  return text.split(".").reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

export function addressText(address: bigint): string {
  const value = Number(address);
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

export const leaseText = ({ address, prefix }: Lease): string => `${addressText(address)}/${prefix}`;

/** Formats an interval as its first and last address: `10.32.0.0-10.32.0.255`. */
export const intervalText = ({ start, end }: Interval): string => `${addressText(start)}-${addressText(end - 1n)}`;

/** Converts an address to 4 bytes, big-endian, for the wire. */
export function addressBytes(address: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(BITS / 8);
  new DataView(bytes.buffer).setUint32(0, Number(address));
  return bytes;
}

export function addressFromBytes(bytes: Uint8Array): bigint {
  return BigInt(new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0));
}

/** Returns the number of addresses of a subnet with a prefix length. */
const sizeOfPrefix = (prefix: number): bigint => 1n << BigInt(BITS - prefix);

/**
 * Parses a subnet to allocate in.
 *
 * @throws WEAVE_ADDRESS_INVALID also when host bits are not zero, or the subnet has less than 4 addresses
 */
export function parseSubnet(text: string): Subnet {
  const { address, prefix, subnet } = parseCidr(text);
  if (subnet !== `${address}/${prefix}`) {
    throw new WeaveError(
      "WEAVE_ADDRESS_INVALID",
      `invalid subnet - bits after network prefix are not all zero: ${text}`,
      { next: `The network is ${subnet}.` },
    );
  }
  const result = subnetOf({ address: parseAddress(address), prefix });
  if (result.end - result.start < MIN_SUBNET)
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid subnet - smaller than minimum size ${MIN_SUBNET}: ${text}`);
  return result;
}

/** Parses `a.b.c.d/n`: an address with the prefix length of its subnet. @throws WEAVE_ADDRESS_INVALID */
export function parseLease(text: string): Lease {
  const { address, prefix } = parseCidr(text);
  return { address: parseAddress(address), prefix };
}

/** Returns the subnet of a lease. */
export function subnetOf({ address, prefix }: Lease): Subnet {
  const size = sizeOfPrefix(prefix);
  const start = address - (address % size);
  return { start, end: start + size, prefix, text: `${addressText(start)}/${prefix}` };
}

/** Returns the host addresses of a subnet: all without the network address and the broadcast address. */
export function hostsOf({ start, end }: Interval): Interval {
  return { start: start + 1n, end: end - 1n };
}

/** The subnet of all IPv4 addresses. */
export const EVERYTHING: Subnet = { start: 0n, end: 1n << BigInt(BITS), prefix: 0, text: "0.0.0.0/0" };
