import { isIpv4 } from "#src/address.js";
import { WeaveError } from "#src/errors.js";

/**
 * Address families that an endpoint may have. A further family needs a row here and in src/linux/native/sockaddr.ts, and changes
 * to the functions of these two files and of host-port.ts. No other code of the frame path depends on the form of an address.
 */
const FAMILIES = {
  /** RFC 791: the header without options has 20 bytes, and every host accepts packets of 576 bytes. */
  4: { headerBytes: 20, smallestMtu: 576, any: "0.0.0.0" },
} as const;
export type Family = keyof typeof FAMILIES;

const UDP_HEADER_BYTES = 8;
const PORTS = 65_536;

/**
 * An IP address and a port, as a plain value that can be sent to another thread.
 *
 * {@link id} is computed from address and port alone: it is the same in every thread, and there is no table that forged
 * datagrams could fill. An object is made only for an endpoint that is kept.
 */
export interface Endpoint {
  readonly family: Family;
  /** The address in network byte order: 4 bytes for IPv4. */
  readonly address: Uint8Array;
  readonly port: number;
  /**
   * The number that the frame path compares. Equal endpoints have equal ids, and different endpoints different ids: for IPv4
   * the id is address × 65536 + port. Never {@link NO_ENDPOINT}.
   */
  readonly id: number;
}

/** An id that no endpoint has. */
export const NO_ENDPOINT = -1;

/** Computes the id of an IPv4 endpoint. @param address as an unsigned 32-bit number */
export function ipv4Id(address: number, port: number): number {
  return address * PORTS + port;
}

/** Makes an endpoint. @param address in network byte order; it is copied */
export function endpointOf(family: Family, address: Uint8Array, port: number): Endpoint {
  const [a, b, c, d] = address;
  return {
    family,
    address: Uint8Array.from(address),
    port,
    id: ipv4Id(((a << 24) | (b << 16) | (c << 8) | d) >>> 0, port),
  };
}

/** Whether `host` is an address of a supported family, and not a name. */
export const isAddress = isIpv4;

/**
 * Makes an endpoint from text.
 *
 * @param host an address: {@link isAddress}
 * @param port 0 to 65535; 0 for no certain port
 * @throws WEAVE_ADDRESS_INVALID
 */
export function endpoint(host: string, port: number): Endpoint {
  if (!isAddress(host) || !Number.isInteger(port) || port < 0 || port >= PORTS)
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid endpoint: ${host.slice(0, 64)}:${port}`);
  return endpointOf(4, Uint8Array.from(host.split("."), Number), port);
}

/** The address to listen on all addresses of this host. */
export const ANY_HOST = FAMILIES[4].any;

/** Makes the endpoint to listen on. @param host an address; "" for {@link ANY_HOST}. @throws WEAVE_ADDRESS_INVALID */
export const listenEndpoint = (host: string, port: number): Endpoint => endpoint(host || ANY_HOST, port);

/** Formats the address of an endpoint, without its port. */
export const hostText = ({ address }: Endpoint): string => address.join(".");

/** Formats an endpoint as `address:port`. */
export const endpointText = (endpoint: Endpoint): string => `${hostText(endpoint)}:${endpoint.port}`;

/** Size of the IP and UDP headers of a datagram, in bytes. */
export const datagramOverhead = (family: Family): number => FAMILIES[family].headerBytes + UDP_HEADER_BYTES;

/** Largest UDP payload, in bytes, that every path carries. */
export const SMALLEST_DATAGRAM = FAMILIES[4].smallestMtu - datagramOverhead(4);

const TCP_HEADER_BYTES = 20;

/** Largest TCP payload of a segment, in bytes, that every path of a family carries (RFC 9293, section 3.7.1). */
export const smallestSegment = (family: Family): number =>
  FAMILIES[family].smallestMtu - FAMILIES[family].headerBytes - TCP_HEADER_BYTES;

/** The family that names are resolved to, for `dns.lookup`. */
export const LOOKUP_FAMILY: Family = 4;
