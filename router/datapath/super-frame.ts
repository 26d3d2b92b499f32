import { WeaveError } from "#src/errors.js";

/**
 * A super-frame: one TCP segment of up to 64 KB that the sender's kernel left unsegmented (TSO), with the size of its
 * segments in the virtio header. It travels in records of whole segments, each with the frame's headers and a descriptor.
 * The receiver joins neighbours again; when a record is missing, what is left on each side of the gap is delivered as a
 * shorter super-frame of its own, with the headers that the kernel would have given those segments.
 *
 *   descriptor   u8 flags (FIRST, LAST, virtio flags << 4) · u8 gso type · u16 header bytes · u16 gso size
 *   (16 bytes)   u16 checksum start · u32 super-frame id · u32 offset of the payload in the super-frame
 *
 * Sources: struct virtio_net_hdr (linux/virtio_net.h); incremental checksums, RFC 1624; TSO field rules as in
 * tcp_gso_segment (net/ipv4/tcp_offload.c).
 */
export const DESCRIPTOR_BYTES = 16;
export const FLAG_FIRST = 1;
export const FLAG_LAST = 2;

/** struct virtio_net_hdr: flags and types. */
export const VNET_NEEDS_CSUM = 1;
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_ECN = 0x80;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_QINQ = 0x88a8;
const TCP = 6;
const TCP_CHECKSUM_AT = 16;
const TCP_FLAGS_AT = 13;
const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;

/** Ethernet with two VLAN tags, IPv6 with some extension headers, TCP with all options. */
export const MAX_HEADERS = 256;
const MIN_HEADERS = 14 + 20 + 20;

/** Where the headers of a TCP frame are, relative to the start of the frame. */
export interface Layout {
  readonly ip: number;
  readonly v6: boolean;
  readonly tcp: number;
  /** Bytes before the TCP payload. */
  readonly headers: number;
}

/**
 * Finds IP and TCP in the first bytes of a frame; `tcp` is where the virtio header says that the checksum starts.
 * Undefined when they do not agree.
 */
export function layoutOf(frame: Uint8Array, tcp: number): Layout | undefined {
  let ip = 14;
  let type = (frame[12] << 8) | frame[13];
  while ((type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ) && ip < 22) {
    type = (frame[ip + 2] << 8) | frame[ip + 3];
    ip += 4;
  }
  if (tcp + 20 > frame.length || tcp < ip + 20) return undefined;
  const v6 = type === ETHERTYPE_IPV6;
  if (!v6 && (type !== ETHERTYPE_IPV4 || frame[ip + 9] !== TCP || ip + ((frame[ip] & 15) << 2) !== tcp))
    return undefined;
  if (v6 && tcp < ip + 40) return undefined;
  const headers = tcp + ((frame[tcp + 12] >>> 4) << 2);
  if (headers < MIN_HEADERS || headers > MAX_HEADERS || headers < tcp + 20) return undefined;
  return { ip, v6, tcp, headers };
}

export interface Descriptor {
  flags: number;
  gsoType: number;
  headers: number;
  gsoSize: number;
  csumStart: number;
  id: number;
  offset: number;
}

export function writeDescriptor(view: DataView, at: number, d: Descriptor): void {
  view.setUint8(at, d.flags);
  view.setUint8(at + 1, d.gsoType);
  view.setUint16(at + 2, d.headers, true);
  view.setUint16(at + 4, d.gsoSize, true);
  view.setUint16(at + 6, d.csumStart, true);
  view.setUint32(at + 8, d.id, true);
  view.setUint32(at + 12, d.offset, true);
}

/** Reads and checks a descriptor into `into`. False: no sender of ours made it. */
export function readDescriptor(view: DataView, at: number, bodyBytes: number, into: Descriptor): boolean {
  if (bodyBytes < DESCRIPTOR_BYTES + MIN_HEADERS) return false;
  into.flags = view.getUint8(at);
  into.gsoType = view.getUint8(at + 1);
  into.headers = view.getUint16(at + 2, true);
  into.gsoSize = view.getUint16(at + 4, true);
  into.csumStart = view.getUint16(at + 6, true);
  into.id = view.getUint32(at + 8, true);
  into.offset = view.getUint32(at + 12, true);
  const type = into.gsoType & ~GSO_ECN;
  const payload = bodyBytes - DESCRIPTOR_BYTES - into.headers;
  return (
    (type === GSO_TCPV4 || type === GSO_TCPV6) &&
    into.headers >= MIN_HEADERS &&
    into.headers <= MAX_HEADERS &&
    into.gsoSize > 0 &&
    into.csumStart + 20 <= into.headers &&
    payload > 0 &&
    into.offset + payload + into.headers <= 14 + 8 + 65_535 &&
    into.offset % into.gsoSize === 0
  );
}

/** One's complement sum - was + is, on 16 bits (RFC 1624, equation 3, for a sum that is not inverted). */
function adjusted(sum: number, was: number, is: number): number {
  let x = sum + is + (was ^ 0xffff);
  x = (x & 0xffff) + (x >>> 16);
  return (x & 0xffff) + (x >>> 16);
}

/**
 * Turns the headers of a super-frame, in place, into those of its part that begins `offset` bytes into the payload and is
 * `length` bytes long. The TCP checksum field holds the sum of the pseudo-header (it is completed later), which counts the
 * length.
 *
 * @param frame the headers, `layout.headers` bytes or more
 * @throws WEAVE_MESSAGE_MALFORMED when the part does not fit an IP packet
 */
export function cutHeaders(
  frame: Uint8Array,
  layout: Layout,
  offset: number,
  length: number,
  gsoSize: number,
  last: boolean,
): void {
  const { ip, v6, tcp, headers } = layout;
  const get = (at: number) => (frame[at] << 8) | frame[at + 1];
  const put = (at: number, value: number) => {
    frame[at] = value >>> 8;
    frame[at + 1] = value;
  };
  const total = headers - ip + length;
  if (total > 65_535)
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `a part of ${length} bytes does not fit an IP packet`);
  const lengthAt = v6 ? ip + 4 : ip + 2;
  const was = get(lengthAt);
  const is = v6 ? total - 40 : total;
  put(lengthAt, is);
  put(tcp + TCP_CHECKSUM_AT, adjusted(get(tcp + TCP_CHECKSUM_AT), was, is));
  if (!v6) {
    const id = get(ip + 4);
    const newId = (id + Math.floor(offset / gsoSize)) & 0xffff;
    put(ip + 4, newId);
    put(ip + 10, adjusted(adjusted(get(ip + 10) ^ 0xffff, was, is), id, newId) ^ 0xffff);
  }
  const at = tcp + 4;
  const sequence = (((frame[at] << 24) | (frame[at + 1] << 16) | (frame[at + 2] << 8) | frame[at + 3]) + offset) >>> 0;
  put(at, sequence >>> 16);
  put(at + 2, sequence & 0xffff);
  let flags = frame[tcp + TCP_FLAGS_AT];
  if (!last) flags &= ~(FIN | PSH);
  if (offset > 0) flags &= ~CWR;
  frame[tcp + TCP_FLAGS_AT] = flags;
}

/**
 * Writes the virtio header of a super-frame or a part of one: a part of one segment is a plain frame whose checksum is
 * still to be completed.
 */
export function writeVnetHeader(
  view: DataView,
  at: number,
  layout: Layout,
  gsoType: number,
  gsoSize: number,
  payload: number,
): void {
  const segmented = payload > gsoSize;
  view.setUint8(at, VNET_NEEDS_CSUM);
  view.setUint8(at + 1, segmented ? gsoType : GSO_NONE);
  view.setUint16(at + 2, segmented ? layout.headers : 0, true);
  view.setUint16(at + 4, segmented ? gsoSize : 0, true);
  view.setUint16(at + 6, layout.tcp, true);
  view.setUint16(at + 8, TCP_CHECKSUM_AT, true);
}
