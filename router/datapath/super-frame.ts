import { WeaveError } from "#src/errors.js";
import type { Memory } from "#src/linux/native/memory.js";

/**
 * A super-frame is a TCP segment or a run of UDP datagrams of up to 64 KB that the sender's kernel has not segmented (TSO,
 * USO). The virtio header has the size of its segments. A super-frame travels in records of whole segments (segment runs); each
 * record has the frame's headers and a descriptor. The receiver joins adjacent runs. When a record is missing, the run on each
 * side of the gap is delivered as a shorter super-frame, with the headers that the kernel would have written for these segments.
 *
 *   descriptor   u8 flags (FIRST, LAST, virtio flags << 4) · u8 gso type · u16 header bytes · u16 gso size
 *   (16 bytes)   u16 checksum start · u32 super-frame id · u32 offset of the payload in the super-frame
 *
 * Sources: struct virtio_net_hdr (linux/virtio_net.h); incremental checksums, RFC 1624; TSO field rules as in
 * tcp_gso_segment (net/ipv4/tcp_offload.c) and, for UDP, __udp_gso_segment (net/ipv4/udp_offload.c).
 */
export const DESCRIPTOR_BYTES = 16;
export const FLAG_FIRST = 1;
export const FLAG_LAST = 2;

/** Offset of the GSO type, in a descriptor and in a virtio header. */
export const AT_GSO_TYPE = 1;

/** Flags and GSO types of struct virtio_net_hdr. */
export const VNET_NEEDS_CSUM = 1;
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
export const GSO_ECN = 0x80;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_QINQ = 0x88a8;
const TCP = 6;
const UDP = 17;
const UDP_HEADER = 8;
const UDP_LENGTH_AT = 4;
const UDP_CHECKSUM_AT = 6;
const TCP_CHECKSUM_AT = 16;
const TCP_FLAGS_AT = 13;
const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;

/** Maximum bytes of headers: Ethernet with two VLAN tags, IPv6 with some extension headers, TCP with all options. */
export const MAX_HEADERS = 256;
const MIN_HEADERS = 14 + 20 + UDP_HEADER;

/** Offsets of the headers of a TCP or UDP frame, from the start of the frame. */
export interface Layout {
  readonly ip: number;
  readonly v6: boolean;
  readonly l4: number;
  readonly udp: boolean;
  /** Bytes before the payload. */
  readonly headers: number;
}

/** Whether `gsoType` is a TCP type. */
export function isTcp(gsoType: number): boolean {
  const type = gsoType & ~GSO_ECN;
  return type === GSO_TCPV4 || type === GSO_TCPV6;
}

/** Whether `gsoType` is a supported type of super-frame. */
export function isSuperFrame(gsoType: number): boolean {
  return isTcp(gsoType) || (gsoType & ~GSO_ECN) === GSO_UDP_L4;
}

/** Offset of the checksum in the TCP or UDP header. */
function checksumAt(layout: Layout): number {
  return layout.udp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT;
}

/**
 * Finds the IP header and the TCP or UDP header in the first bytes of a frame. Returns undefined when they contradict the
 * virtio header.
 *
 * @param gsoType from the virtio header
 * @param l4 start of the checksummed part, from the virtio header
 */
export function layoutOf(frame: Uint8Array, gsoType: number, l4: number): Layout | undefined {
  const type = gsoType & ~GSO_ECN;
  const ip = ipOffset(frame);
  const etherType = (frame[ip - 2] << 8) | frame[ip - 1];
  const v6 = etherType === ETHERTYPE_IPV6;
  const udp = type === GSO_UDP_L4;
  if (l4 + (udp ? UDP_HEADER : 20) > frame.length || l4 < ip + (v6 ? 40 : 20)) return undefined;
  if (type === GSO_TCPV4 && v6) return undefined;
  if (type === GSO_TCPV6 && !v6) return undefined;
  if (!v6) {
    const protocol = frame[ip + 9];
    if (etherType !== ETHERTYPE_IPV4 || protocol !== (udp ? UDP : TCP) || ip + ((frame[ip] & 15) << 2) !== l4)
      return undefined;
  }
  const headers = udp ? l4 + UDP_HEADER : l4 + ((frame[l4 + 12] >>> 4) << 2);
  if (headers < MIN_HEADERS || headers > MAX_HEADERS || headers < l4 + (udp ? UDP_HEADER : 20)) return undefined;
  return { ip, v6, l4, udp, headers };
}

/** Offset of the IP header of a frame: after the Ethernet header and at most two VLAN tags. */
function ipOffset(frame: Uint8Array): number {
  let ip = 14;
  let type = (frame[12] << 8) | frame[13];
  while ((type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ) && ip < 22) {
    type = (frame[ip + 2] << 8) | frame[ip + 3];
    ip += 4;
  }
  return ip;
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
  view.setUint8(at + AT_GSO_TYPE, d.gsoType);
  view.setUint16(at + 2, d.headers, true);
  view.setUint16(at + 4, d.gsoSize, true);
  view.setUint16(at + 6, d.csumStart, true);
  view.setUint32(at + 8, d.id, true);
  view.setUint32(at + 12, d.offset, true);
}

/** Reads a descriptor into `into`, and checks it. False: it is malformed. */
export function readDescriptor(view: DataView, at: number, bodyBytes: number, into: Descriptor): boolean {
  if (bodyBytes < DESCRIPTOR_BYTES + MIN_HEADERS) return false;
  into.flags = view.getUint8(at);
  into.gsoType = view.getUint8(at + AT_GSO_TYPE);
  into.headers = view.getUint16(at + 2, true);
  into.gsoSize = view.getUint16(at + 4, true);
  into.csumStart = view.getUint16(at + 6, true);
  into.id = view.getUint32(at + 8, true);
  into.offset = view.getUint32(at + 12, true);
  const payload = bodyBytes - DESCRIPTOR_BYTES - into.headers;
  return (
    isSuperFrame(into.gsoType) &&
    into.headers >= MIN_HEADERS &&
    into.headers <= MAX_HEADERS &&
    into.gsoSize > 0 &&
    into.csumStart + UDP_HEADER <= into.headers &&
    payload > 0 &&
    into.offset + payload + into.headers <= 14 + 8 + 65_535 &&
    into.offset % into.gsoSize === 0
  );
}

/** A super-frame as it was captured: `length` bytes at `offset`, virtio header first. */
export interface SuperFrame {
  memory: Memory;
  offset: number;
  length: number;
  layout: Layout;
  /** GSO type, and payload bytes of each segment (the last may be shorter), as in the virtio header. */
  gsoType: number;
  gsoSize: number;
}

/** A run of whole segments of a super-frame. */
export interface SegmentRun {
  /** GSO type of the super-frame, and payload bytes of each segment (the last may be shorter). */
  gsoType: number;
  gsoSize: number;
  /** Offset of the run in the payload of the super-frame, and bytes of the run. */
  offset: number;
  length: number;
  /** True: the run is the end of the super-frame. */
  last: boolean;
}

/** One's complement sum - was + is, on 16 bits (RFC 1624, equation 3, for a sum that is not inverted). */
function adjusted(sum: number, was: number, is: number): number {
  let x = sum + is + (was ^ 0xffff);
  x = (x & 0xffff) + (x >>> 16);
  return (x & 0xffff) + (x >>> 16);
}

/**
 * Rewrites the headers of a super-frame, in place, for a run of its segments. The checksum field of TCP or UDP contains the
 * sum of the pseudo-header, which includes the length; the checksum is completed later.
 *
 * @param frame the headers, `layout.headers` bytes or more
 * @throws WEAVE_MESSAGE_MALFORMED when the run does not fit an IP packet
 */
export function cutHeaders(frame: Uint8Array, layout: Layout, run: SegmentRun): void {
  const { ip, v6, l4, udp, headers } = layout;
  const { offset, length } = run;
  const get = (at: number) => (frame[at] << 8) | frame[at + 1];
  const put = (at: number, value: number) => {
    frame[at] = value >>> 8;
    frame[at + 1] = value;
  };
  const total = headers - ip + length;
  if (total > 65_535)
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `a segment run of ${length} bytes does not fit an IP packet`);
  const lengthAt = v6 ? ip + 4 : ip + 2;
  const was = get(lengthAt);
  const is = v6 ? total - 40 : total;
  put(lengthAt, is);
  const sumAt = l4 + checksumAt(layout);
  put(sumAt, adjusted(get(sumAt), was, is));
  if (!v6) {
    const id = get(ip + 4);
    const newId = (id + Math.floor(offset / run.gsoSize)) & 0xffff;
    put(ip + 4, newId);
    put(ip + 10, adjusted(adjusted(get(ip + 10) ^ 0xffff, was, is), id, newId) ^ 0xffff);
  }
  if (udp) return put(l4 + UDP_LENGTH_AT, UDP_HEADER + length);
  const at = l4 + 4;
  const sequence = (((frame[at] << 24) | (frame[at + 1] << 16) | (frame[at + 2] << 8) | frame[at + 3]) + offset) >>> 0;
  put(at, sequence >>> 16);
  put(at + 2, sequence & 0xffff);
  let flags = frame[l4 + TCP_FLAGS_AT];
  if (!run.last) flags &= ~(FIN | PSH);
  if (offset > 0) flags &= ~CWR;
  frame[l4 + TCP_FLAGS_AT] = flags;
}

/** Writes the virtio header of a segment run. A run of one segment is a plain frame with an incomplete checksum. */
export function writeVnetHeader(view: DataView, at: number, layout: Layout, run: SegmentRun): void {
  const { gsoType, gsoSize } = run;
  const segmented = run.length > gsoSize;
  view.setUint8(at, VNET_NEEDS_CSUM);
  view.setUint8(at + 1, segmented ? gsoType : GSO_NONE);
  view.setUint16(at + 2, segmented ? layout.headers : 0, true);
  view.setUint16(at + 4, segmented ? gsoSize : 0, true);
  view.setUint16(at + 6, layout.l4, true);
  view.setUint16(at + 8, checksumAt(layout), true);
}

/**
 * Completes a partial checksum. The sum begins at `start`; the field at `start + field` contains the sum of the pseudo-header.
 */
export function completeChecksum(frame: Uint8Array, start: number, field: number): void {
  let sum = 0;
  let at = start;
  for (; at + 1 < frame.length; at += 2) sum += (frame[at] << 8) | frame[at + 1];
  if (at < frame.length) sum += frame[at] << 8;
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  // In UDP zero means "no checksum"; 0xffff stands for a sum of zero (RFC 768).
  const checksum = ~sum & 0xffff || 0xffff;
  frame[start + field] = checksum >>> 8;
  frame[start + field + 1] = checksum;
}
