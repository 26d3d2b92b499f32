import type { Interval } from "#ipam/ring/interval.js";
import { isIpv4, parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";

/** Smaller ones have no room for a network address, a broadcast address and a host or two. */
export const MIN_SUBNET = 4n;

/** A network of one family, as the interval of its addresses. */
export interface Subnet extends Interval {
  readonly prefix: number;
  /** As a user writes it: `10.32.0.0/12`. */
  readonly text: string;
}

/** An address with the prefix length of its subnet, as a container gets it. */
export interface Lease {
  readonly address: bigint;
  readonly prefix: number;
}

/** Bits of an address. For IPv6 ranges only this must follow the family. */
const BITS = 32;

/** An IPv4 address as an integer. @throws WEAVE_ADDRESS_INVALID */
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

/** `10.32.0.0-10.32.0.255`: the first address and the last. */
export const intervalText = ({ start, end }: Interval): string => `${addressText(start)}-${addressText(end - 1n)}`;

/** Big-endian, as on the wire: 4 bytes. */
export function addressBytes(address: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(BITS / 8);
  new DataView(bytes.buffer).setUint32(0, Number(address));
  return bytes;
}

export function addressFromBytes(bytes: Uint8Array): bigint {
  return BigInt(new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0));
}

/** Number of addresses of a subnet with this prefix length. */
const sizeOfPrefix = (prefix: number): bigint => 1n << BigInt(BITS - prefix);

/**
 * Reads a subnet to allocate in: host bits zero, at least {@link MIN_SUBNET} addresses.
 *
 * @throws WEAVE_ADDRESS_INVALID
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

/** Reads `a.b.c.d/n`: an address and its subnet's prefix length. @throws WEAVE_ADDRESS_INVALID */
export function parseLease(text: string): Lease {
  const { address, prefix } = parseCidr(text);
  return { address: parseAddress(address), prefix };
}

/** The subnet that an address belongs to. */
export function subnetOf({ address, prefix }: Lease): Subnet {
  const size = sizeOfPrefix(prefix);
  const start = address - (address % size);
  return { start, end: start + size, prefix, text: `${addressText(start)}/${prefix}` };
}

/** The addresses of hosts: all but the network's own address and the broadcast address. */
export function hostsOf({ start, end }: Interval): Interval {
  return { start: start + 1n, end: end - 1n };
}

/** All addresses of the family. */
export const EVERYTHING: Subnet = { start: 0n, end: 1n << BigInt(BITS), prefix: 0, text: "0.0.0.0/0" };
