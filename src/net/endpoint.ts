import { isIpv4 } from "#src/address.js";
import { WeaveError } from "#src/errors.js";

/**
 * IP versions that an endpoint may have. Another version is a row here and in src/linux/native/sockaddr.ts, and the functions
 * of these two files and of host-port.ts: nothing else on the way of a datagram depends on the form of an address.
 */
const FAMILIES = {
  /** RFC 791: 20 bytes of header without options, and hosts accept packets of 576 bytes. */
  4: { headerBytes: 20, smallestMtu: 576, any: "0.0.0.0" },
} as const;
export type Family = keyof typeof FAMILIES;

const UDP_HEADER_BYTES = 8;
const PORTS = 65_536;

/**
 * An IP address and a port. A plain value: it passes between threads as it is.
 *
 * There is no table of endpoints that forged datagrams could fill: {@link id} is computed from the address alone, so that it
 * is the same in every thread, and an object is made only for an endpoint that is kept.
 */
export interface Endpoint {
  readonly family: Family;
  /** In network order: 4 bytes for IPv4. */
  readonly address: Uint8Array;
  readonly port: number;
  /**
   * What the frame path compares and carries. Equal endpoints have equal ids, and different ones different ids: for IPv4 it
   * is address × 65536 + port. (Longer addresses have to be hashed. That is sound, because an id decides nothing that a
   * forged source address could not: records are proven by their seal.) Never {@link NO_ENDPOINT}.
   */
  readonly id: number;
}

/** The id of no endpoint. */
export const NO_ENDPOINT = -1;

/** @param address of an IPv4 endpoint, as an unsigned 32-bit number */
export function ipv4Id(address: number, port: number): number {
  return address * PORTS + port;
}

/** The endpoint of an address in network order, which is copied. */
export function endpointOf(family: Family, address: Uint8Array, port: number): Endpoint {
  const [a, b, c, d] = address;
  return {
    family,
    address: Uint8Array.from(address),
    port,
    id: ipv4Id(((a << 24) | (b << 16) | (c << 8) | d) >>> 0, port),
  };
}

/** Whether `host` is an address of a family that is supported, and not a name. */
export const isAddress = isIpv4;

/**
 * @param host an address: {@link isAddress}
 * @param port 0 to 65535; 0 where none is meant
 * @throws WEAVE_ADDRESS_INVALID
 */
export function endpoint(host: string, port: number): Endpoint {
  if (!isAddress(host) || !Number.isInteger(port) || port < 0 || port >= PORTS)
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid endpoint: ${host.slice(0, 64)}:${port}`);
  return endpointOf(4, Uint8Array.from(host.split("."), Number), port);
}

/** All addresses of this host, in the default family. */
export const ANY_HOST = FAMILIES[4].any;

/** Where to listen. @param host an address; "" for {@link ANY_HOST}. @throws WEAVE_ADDRESS_INVALID */
export const listenEndpoint = (host: string, port: number): Endpoint => endpoint(host || ANY_HOST, port);

/** The address alone, as text. */
export const hostText = ({ address }: Endpoint): string => address.join(".");

/** `address:port` */
export const endpointText = (endpoint: Endpoint): string => `${hostText(endpoint)}:${endpoint.port}`;

/** Bytes of an IP packet that its headers take from a UDP payload. */
export const datagramOverhead = (family: Family): number => FAMILIES[family].headerBytes + UDP_HEADER_BYTES;

/** UDP payload, in bytes, that every path carries. */
export const SMALLEST_DATAGRAM = FAMILIES[4].smallestMtu - datagramOverhead(4);

const TCP_HEADER_BYTES = 20;

/** TCP payload of a segment, in bytes, that every path of a family carries (RFC 9293, section 3.7.1). */
export const smallestSegment = (family: Family): number =>
  FAMILIES[family].smallestMtu - FAMILIES[family].headerBytes - TCP_HEADER_BYTES;

/** For `dns.lookup`: the family of the addresses that names are resolved to. */
export const LOOKUP_FAMILY: Family = 4;
