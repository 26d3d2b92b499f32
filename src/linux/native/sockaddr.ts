import { type Endpoint, endpointOf, type Family, ipv4Id, NO_ENDPOINT } from "#src/net/endpoint.js";

/** The one place that knows how the kernel writes an endpoint. */

// linux/socket.h, linux/in.h
const AF_INET = 2;
export const SOL_IP = 0;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;

/** How the kernel's interfaces name a family. */
export interface FamilyLayout {
  /** Of socket(2). */
  readonly domain: number;
  /** Bytes of its struct sockaddr. */
  readonly sockaddrBytes: number;
  /** The address in that struct. */
  readonly addressAt: number;
  /** The control message that names the source of a datagram: level, type, bytes, and the address in it (cmsg(3)). */
  readonly source: {
    readonly level: number;
    readonly type: number;
    readonly bytes: number;
    readonly addressAt: number;
  };
  /** The option that rules fragmentation: level and name. */
  readonly mtuDiscover: readonly [level: number, name: number];
}

const LAYOUTS: Readonly<Record<Family, FamilyLayout>> = {
  // struct sockaddr_in, struct in_pktinfo (ip(7)): the latter holds an interface's index, the address to send from, and one
  // that only a receiver is given.
  4: {
    domain: AF_INET,
    sockaddrBytes: 16,
    addressAt: 4,
    source: { level: SOL_IP, type: IP_PKTINFO, bytes: 12, addressAt: 4 },
    mtuDiscover: [SOL_IP, IP_MTU_DISCOVER],
  },
};

export const familyLayout = ({ family }: Endpoint): FamilyLayout => LAYOUTS[family];

/** Room for the address of any family (struct sockaddr_in6 is the longest, ipv6(7)). */
export const SOCKADDR_ROOM = 28;
/** Room for the value of a {@link FamilyLayout.source} of any family (struct in6_pktinfo). */
export const SOURCE_ROOM = 20;

const PORT_AT = 2;

/** Writes a struct sockaddr. Returns its length. */
export function writeSockaddr(view: DataView, at: number, endpoint: Endpoint): number {
  const { domain, sockaddrBytes, addressAt } = familyLayout(endpoint);
  for (let i = 0; i < sockaddrBytes; i++) view.setUint8(at + i, 0);
  view.setUint16(at, domain, true);
  view.setUint16(at + PORT_AT, endpoint.port, false);
  writeAddress(view, at + addressAt, endpoint);
  return sockaddrBytes;
}

/** Writes the address alone, in network order. */
export function writeAddress(view: DataView, at: number, { address }: Endpoint): void {
  for (let i = 0; i < address.length; i++) view.setUint8(at + i, address[i]);
}

/** The id of the endpoint in a struct sockaddr, without making one; {@link NO_ENDPOINT} when the family is not known. */
export function sockaddrId(view: DataView, at: number): number {
  if (view.getUint16(at, true) !== AF_INET) return NO_ENDPOINT;
  return ipv4Id(view.getUint32(at + LAYOUTS[4].addressAt, false), view.getUint16(at + PORT_AT, false));
}

/** The endpoint in a struct sockaddr; undefined when its family is not known. */
export function readSockaddr(view: DataView, at: number): Endpoint | undefined {
  if (view.getUint16(at, true) !== AF_INET) return undefined;
  const address = new Uint8Array(view.buffer, view.byteOffset + at + LAYOUTS[4].addressAt, 4);
  return endpointOf(4, address, view.getUint16(at + PORT_AT, false));
}
