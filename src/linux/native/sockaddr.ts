import { type Endpoint, endpointOf, NO_ENDPOINT } from "#src/net/endpoint.js";
import { type Family, ipv4Id } from "#src/net/family.js";

/** Conversion of endpoints to and from the kernel's structures. No other file depends on their layout. */

// linux/socket.h, linux/in.h
const AF_INET = 2;
const SOL_IP = 0;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;

/** Constants and structure layouts of an address family. */
interface FamilyLayout {
  /** Domain for socket(2). */
  readonly domain: number;
  /** Size of its struct sockaddr in bytes. */
  readonly sockaddrBytes: number;
  /** Offset of the address in that struct. */
  readonly addressAt: number;
  /** The control message with the source address of a datagram: level, type, size, and offset of the address (cmsg(3)). */
  readonly source: {
    readonly level: number;
    readonly type: number;
    readonly bytes: number;
    readonly addressAt: number;
  };
  /** The socket option for fragmentation: level and name. */
  readonly mtuDiscover: readonly (readonly [level: number, name: number])[];
}

const LAYOUTS: Readonly<Record<Family, FamilyLayout>> = {
  // struct sockaddr_in, and struct in_pktinfo (ip(7)): interface index, source address, and a field for receivers alone.
  4: {
    domain: AF_INET,
    sockaddrBytes: 16,
    addressAt: 4,
    source: { level: SOL_IP, type: IP_PKTINFO, bytes: 12, addressAt: 4 },
    mtuDiscover: [[SOL_IP, IP_MTU_DISCOVER]],
  },
};

/** Returns the layout for an endpoint's family. */
export const familyLayout = ({ family }: Endpoint): FamilyLayout => LAYOUTS[family];

/** Room for the address of any family (struct sockaddr_in6 is the longest, ipv6(7)). */
export const SOCKADDR_ROOM = 28;
/** Room for the value of a {@link FamilyLayout.source} of any family (struct in6_pktinfo). */
export const SOURCE_ROOM = 20;

const PORT_AT = 2;

/** Writes a struct sockaddr. @returns its length in bytes */
export function writeSockaddr(view: DataView, at: number, endpoint: Endpoint): number {
  const { domain, sockaddrBytes, addressAt } = familyLayout(endpoint);
  for (let i = 0; i < sockaddrBytes; i++) view.setUint8(at + i, 0);
  view.setUint16(at, domain, true);
  view.setUint16(at + PORT_AT, endpoint.port, false);
  writeAddress(view, at + addressAt, endpoint);
  return sockaddrBytes;
}

/** Writes the address of an endpoint, in network byte order. */
export function writeAddress(view: DataView, at: number, { address }: Endpoint): void {
  for (let i = 0; i < address.length; i++) view.setUint8(at + i, address[i]);
}

/** Reads the id of the endpoint in a struct sockaddr, without allocation; {@link NO_ENDPOINT} for an unknown family. */
export function sockaddrId(view: DataView, at: number): number {
  if (view.getUint16(at, true) !== AF_INET) return NO_ENDPOINT;
  return ipv4Id(view.getUint32(at + LAYOUTS[4].addressAt, false), view.getUint16(at + PORT_AT, false));
}

/** Reads the endpoint in a struct sockaddr; undefined for an unknown family. */
export function readSockaddr(view: DataView, at: number): Endpoint | undefined {
  if (view.getUint16(at, true) !== AF_INET) return undefined;
  const address = new Uint8Array(view.buffer, view.byteOffset + at + LAYOUTS[4].addressAt, 4);
  return endpointOf(4, address, view.getUint16(at + PORT_AT, false));
}
