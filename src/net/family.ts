import { isIpv4 } from "#src/address.js";

export type UdpType = "udp4" | "udp6";

/**
 * All that depends on the form of an address, except for the kernel's structs (src/linux/native/sockaddr.ts). src/net/endpoint.ts lists
 * the steps of a further family.
 */
interface FamilyRules {
  /** Names an address of the family in messages. */
  readonly title: string;
  readonly headerBytes: number;
  /** Largest packet that every path carries, in bytes. */
  readonly smallestMtu: number;
  /** The address to listen on all addresses. */
  readonly any: string;
  /** Characters of the longest address, with the brackets that a port may require. */
  readonly longestText: number;
  /** For sockets of `node:dgram`. */
  readonly udpType: UdpType;
  isAddress(text: string): boolean;
  /** @param text an address; the result is in network byte order */
  parse(text: string): Uint8Array;
  format(address: Uint8Array): string;
  /** Computes the id of an endpoint: equal endpoints have equal ids. */
  id(address: Uint8Array, port: number): number;
  /** Whether another host can have the address, and it is not link-local, where clouds have their metadata service. */
  isRemote(address: Uint8Array): boolean;
  /** The part of an address that one client cannot choose freely: limits for unauthenticated clients count by it. */
  fairnessKey(text: string): string;
}

export const PORTS = 65_536;

/** Computes the id of an IPv4 endpoint. @param address as an unsigned 32-bit number */
export function ipv4Id(address: number, port: number): number {
  return address * PORTS + port;
}

/** First octets of addresses that no other host has: "this network", loopback, and multicast or above (RFC 6890). */
const HERE = 0;
const LOOPBACK = 127;
const MULTICAST = 224;
/** The first two octets of link-local addresses (RFC 3927). */
const LINK_LOCAL = [169, 254] as const;

const IPV4: FamilyRules = {
  title: "an IPv4 address",
  // RFC 791: the header without options has 20 bytes, and every host accepts packets of 576 bytes.
  headerBytes: 20,
  smallestMtu: 576,
  any: "0.0.0.0",
  longestText: "255.255.255.255".length,
  udpType: "udp4",
  isAddress: isIpv4,
  parse: (text) => Uint8Array.from(text.split("."), Number),
  format: (address) => address.join("."),
  id: ([a, b, c, d], port) => ipv4Id(((a << 24) | (b << 16) | (c << 8) | d) >>> 0, port),
  isRemote: ([a, b]) => a !== HERE && a !== LOOPBACK && a < MULTICAST && !(a === LINK_LOCAL[0] && b === LINK_LOCAL[1]),
  fairnessKey: (text) => text,
};

const FAMILIES = { 4: IPV4 } as const;
export type Family = keyof typeof FAMILIES;
/** All supported families. */
const SUPPORTED = Object.keys(FAMILIES).map(Number) as Family[];
const ROWS: readonly FamilyRules[] = SUPPORTED.map((family) => FAMILIES[family]);

/** The family of sockets that listen on all addresses of this host. */
const LISTEN_FAMILY: Family = 4;
/** The family that names are resolved to, for `dns.lookup`; 0 there means all. */
export const LOOKUP_FAMILY: Family | 0 = 4;

export const familyRules = (family: Family): FamilyRules => FAMILIES[family];

/** The family of an address; undefined for a name. */
export const familyOf = (host: string): Family | undefined =>
  SUPPORTED.find((family) => FAMILIES[family].isAddress(host));

/** Whether `host` is an address of a supported family, and not a name. */
export const isAddress = (host: string): boolean => familyOf(host) !== undefined;

/** Names an address in messages. */
export const ADDRESS_TITLE = ROWS.map(({ title }) => title).join(" or ");

/** Whether `host` has the form of an address and is none: no name server knows such a name. */
export const isMalformedAddress = (host: string): boolean => /^[\d.]+$/.test(host) && !isAddress(host);

/** Whether `host` is an address that another host can have, outside of link-local networks. */
export function isRemoteAddress(host: string): boolean {
  const family = familyOf(host);
  return family !== undefined && FAMILIES[family].isRemote(FAMILIES[family].parse(host));
}

/** The address to listen on all addresses of this host. */
export const ANY_HOST = FAMILIES[LISTEN_FAMILY].any;

/** Whether `host` means all addresses of this host. */
export const isAnyHost = (host: string): boolean => ROWS.some(({ any }) => any === host);

/** The source that limits for unauthenticated clients count an address by. Other text is its own source. */
export function fairnessKey(host: string): string {
  const family = familyOf(host);
  return family === undefined ? host : FAMILIES[family].fairnessKey(host);
}

/** An address as Node prints it, which may be IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2); "" for a closed socket. */
export const plainAddress = (address: string | undefined): string => (address ?? "").replace(/^::ffff:/, "");

/** Largest packet that every path carries, less the header of its family, in bytes: the smallest of all families. */
export const SMALLEST_IP_PAYLOAD = Math.min(...ROWS.map(({ smallestMtu, headerBytes }) => smallestMtu - headerBytes));
/** Size of the longest IP header, in bytes. */
export const LONGEST_IP_HEADER = Math.max(...ROWS.map(({ headerBytes }) => headerBytes));
/** Characters of the longest `address:port`. */
export const ADDRESS_PORT_WIDTH = Math.max(...ROWS.map(({ longestText }) => longestText)) + ":65535".length;
