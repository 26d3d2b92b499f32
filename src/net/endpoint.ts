import { WeaveError } from "#src/errors.js";
import {
  ANY_HOST,
  type Family,
  familyOf,
  familyRules,
  LONGEST_IP_HEADER,
  PORTS,
  SMALLEST_IP_PAYLOAD,
  type UdpType,
} from "#src/net/family.js";
import { hostPortText } from "#src/net/host-port.js";

/**
 * Endpoints are IPv4. A further family, such as IPv6, needs these changes for endpoints (test/unit/src/net/families.test.ts
 * lists the files that may depend on IPv4); CONTRIBUTING.md adds the firewall, flags and tests:
 *
 * - family.ts: a row of FAMILIES. An address of more than 32 bits has a hash as id: an id decides nothing that a forged source
 *   address could not, because records are authenticated. The fairness key of IPv6 is the /64.
 * - family.ts: the families to listen on and to look up, LISTEN_FAMILY and LOOKUP_FAMILY. A socket of IPv6 on all addresses also
 *   receives IPv4, as ::ffff:a.b.c.d (ipv6(7), IPV6_V6ONLY), so that one socket for each thread and server stays enough.
 * - host-port.ts: parseHostPort accepts `[address]:port`, and ipv6Reason goes. Texts have the brackets already (hostPortText).
 * - src/linux/native/sockaddr.ts: a row of LAYOUTS; sockaddrId and readSockaddr accept its struct, with ::ffff:a.b.c.d as IPv4;
 *   writeSockaddr and the source address have that form for IPv4 where the sockets are of IPv6.
 *
 * Addresses of the overlay are another subject, and IPv4 (src/address.ts).
 */

const UDP_HEADER_BYTES = 8;

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

/** Makes an endpoint. @param address in network byte order; it is copied */
export function endpointOf(family: Family, address: Uint8Array, port: number): Endpoint {
  return { family, address: Uint8Array.from(address), port, id: familyRules(family).id(address, port) };
}

/**
 * Makes an endpoint from text.
 *
 * @param host an address, and no name
 * @param port 0 to 65535; 0 for no certain port
 * @throws WEAVE_ADDRESS_INVALID
 */
export function endpoint(host: string, port: number): Endpoint {
  const family = familyOf(host);
  if (family === undefined || !Number.isInteger(port) || port < 0 || port >= PORTS)
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid endpoint: ${host.slice(0, 64)}:${port}`);
  return endpointOf(family, familyRules(family).parse(host), port);
}

/** Makes the endpoint to listen on. @param host an address; "" for {@link ANY_HOST}. @throws WEAVE_ADDRESS_INVALID */
export const listenEndpoint = (host: string, port: number): Endpoint => endpoint(host || ANY_HOST, port);

/** Formats the address of an endpoint, without its port. */
export const hostText = ({ family, address }: Endpoint): string => familyRules(family).format(address);

/** Formats an endpoint as `address:port`. */
export const endpointText = (endpoint: Endpoint): string => hostPortText(hostText(endpoint), endpoint.port);

/** The type of the socket of `node:dgram` that has an endpoint. */
export const udpType = ({ family }: Endpoint): UdpType => familyRules(family).udpType;

/** Size of the IP and UDP headers of a datagram, in bytes. @param family undefined while it is not known: the largest size */
export const datagramOverhead = (family: Family | undefined): number =>
  (family === undefined ? LONGEST_IP_HEADER : familyRules(family).headerBytes) + UDP_HEADER_BYTES;

/**
 * Largest UDP payload, in bytes, that every path of every family carries: the address of a peer is not known at first, and may
 * change to another family.
 */
export const SMALLEST_DATAGRAM = SMALLEST_IP_PAYLOAD - UDP_HEADER_BYTES;

const TCP_HEADER_BYTES = 20;

/** Largest TCP payload of a segment, in bytes, that every path of every family carries (RFC 9293, section 3.7.1). */
export const SMALLEST_SEGMENT = SMALLEST_IP_PAYLOAD - TCP_HEADER_BYTES;
