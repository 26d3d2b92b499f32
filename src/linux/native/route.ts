import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { familyLayout } from "#src/linux/native/sockaddr.js";
import { type Endpoint, endpointOf, hostText } from "#src/net/endpoint.js";

/** The way of packets to another host. */
export interface RouteTo {
  /** MTU of the interface that they leave by, in bytes; undefined when it is gone meanwhile. */
  readonly mtu: number | undefined;
  /** The source address that the kernel chooses; undefined when it is not known. */
  readonly source: string | undefined;
}

// linux/socket.h, linux/netlink.h, linux/rtnetlink.h
const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
/** SOCK_RAW, SOCK_CLOEXEC, and SOCK_NONBLOCK: a kernel that does not answer must not stop the event loop. */
const RAW_SOCKET = 3 | 0x80000 | 0x800;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_PREFSRC = 7;
/** Sizes of struct nlmsghdr, struct rtmsg, and struct rtattr. */
const HEADER_BYTES = 16;
const ROUTE_BYTES = 12;
const ATTRIBUTE_BYTES = 4;
const ATTRIBUTES_AT = HEADER_BYTES + ROUTE_BYTES;
// linux/sockios.h, and struct ifreq of linux/if.h: a name of 16 bytes, then the value.
const SIOCGIFNAME = 0x8910;
const SIOCGIFMTU = 0x8921;
const IFREQ_BYTES = 40;
const IFREQ_VALUE_AT = 16;

const MESSAGE_BYTES = 4_096;
const memory = new Memory(MESSAGE_BYTES);

/**
 * Looks up the route of packets to a host, as `ip route get` does (rtnetlink(7), RTM_GETROUTE). A program of its own for each
 * neighbour would cost a router of thirty peers more than their handshakes.
 *
 * @returns undefined when there is none
 * @throws WEAVE_NATIVE when the kernel gives no socket
 */
export function routeTo(host: Endpoint): RouteTo | undefined {
  const fd = libc.socket(AF_NETLINK, RAW_SOCKET, NETLINK_ROUTE);
  if (fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make a netlink socket: ${errnoName(errno())}`);
  try {
    const request = writeRequest(host);
    if (libc.write(fd, memory.at(0, request), request) !== request) return undefined;
    // The kernel answers within the call: write(2) has queued the answer.
    const answer = Number(libc.read(fd, memory.at(0, MESSAGE_BYTES), MESSAGE_BYTES));
    if (answer < ATTRIBUTES_AT || memory.view.getUint16(4, true) !== RTM_NEWROUTE) return undefined;
    const { device, source } = readRoute(answer, host);
    return { mtu: device === undefined ? undefined : mtuOf(fd, device), source };
  } finally {
    libc.close(fd);
  }
}

/** @returns the length of the message in bytes */
function writeRequest({ family, address, port, id }: Endpoint): number {
  const { u8, view } = memory;
  const length = ATTRIBUTES_AT + ATTRIBUTE_BYTES + address.length;
  u8.fill(0, 0, length);
  view.setUint32(0, length, true);
  view.setUint16(4, RTM_GETROUTE, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  view.setUint8(HEADER_BYTES, familyLayout({ family, address, port, id }).domain);
  view.setUint8(HEADER_BYTES + 1, 8 * address.length);
  view.setUint16(ATTRIBUTES_AT, ATTRIBUTE_BYTES + address.length, true);
  view.setUint16(ATTRIBUTES_AT + 2, RTA_DST, true);
  u8.set(address, ATTRIBUTES_AT + ATTRIBUTE_BYTES);
  return length;
}

/** Reads the attributes of an answer of `length` bytes. */
function readRoute(length: number, { family, address }: Endpoint): { device?: number; source?: string } {
  const { u8, view } = memory;
  const found: { device?: number; source?: string } = {};
  for (let at = ATTRIBUTES_AT; at + ATTRIBUTE_BYTES <= length; ) {
    const bytes = view.getUint16(at, true);
    if (bytes < ATTRIBUTE_BYTES || at + bytes > length) break;
    const type = view.getUint16(at + 2, true);
    const value = at + ATTRIBUTE_BYTES;
    if (type === RTA_OIF) found.device = view.getUint32(value, true);
    if (type === RTA_PREFSRC && bytes === ATTRIBUTE_BYTES + address.length)
      found.source = hostText(endpointOf(family, u8.subarray(value, value + address.length), 0));
    // Attributes begin at multiples of four bytes.
    at += (bytes + 3) & ~3;
  }
  return found;
}

/** The MTU of the interface with an index; undefined when there is none. @param fd any socket */
function mtuOf(fd: number, index: number): number | undefined {
  const { u8, view } = memory;
  u8.fill(0, 0, IFREQ_BYTES);
  view.setInt32(IFREQ_VALUE_AT, index, true);
  const at = memory.at(0, IFREQ_BYTES);
  if (libc.ioctl(fd, SIOCGIFNAME, at) < 0 || libc.ioctl(fd, SIOCGIFMTU, at) < 0) return undefined;
  return view.getInt32(IFREQ_VALUE_AT, true);
}
