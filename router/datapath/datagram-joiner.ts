import type { BufferRing } from "#router/datapath/buffer-ring.js";
import { OpenRun, type WriteRun } from "#router/datapath/open-run.js";
import {
  cutHeaders,
  GSO_NONE,
  GSO_UDP_L4,
  type Layout,
  layoutOf,
  type SegmentRun,
  VNET_NEEDS_CSUM,
  writeVnetHeader,
} from "#router/datapath/super-frame.js";
import type { Memory } from "#src/linux/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/linux/native/tap.js";

/** Maximum datagrams in a super-frame: the kernel's limit UDP_MAX_SEGMENTS (net/udp.h; newer kernels allow 128). */
const MAX_DATAGRAMS = 64;
/** Maximum payload bytes of a super-frame: below the largest IP packet, with room for all headers. */
const MAX_BYTES = 60_000;
const UDP = 17;
const IPV4_UDP_HEADERS = 14 + 20 + 8;
const IPV6_UDP_HEADERS = 14 + 40 + 8;
const DONT_FRAGMENT = 0x4000;

/**
 * Joins consecutive UDP datagrams of one flow and one size into one write to the TAP (a UDP super-frame). The bridge, veth and
 * netfilter then handle one packet, and the receiver's kernel segments it.
 *
 * Only datagrams with an incomplete checksum (left so by the sender's kernel) are joined: a complete checksum is end-to-end
 * protection, and must not be recomputed.
 */
export class DatagramJoiner extends OpenRun {
  readonly #write: WriteRun;
  /** The first frame of the open run: its memory, its offset (of the virtio header), and the bytes before its payload. */
  #memory: Memory | undefined;
  #first = 0;
  #headers = 0;
  /** `gsoSize` is the payload of each datagram; the last may be shorter. */
  readonly #run: SegmentRun = { gsoType: GSO_UDP_L4, gsoSize: 0, offset: 0, length: 0, last: true };

  /** @param write writes each joined run or single frame */
  constructor(ring: BufferRing, write: WriteRun) {
    super(ring, MAX_DATAGRAMS);
    this.#write = write;
  }

  /** Adds a frame with its virtio header. False: frames of this kind are not joined; the open run has been delivered. */
  add(memory: Memory, offset: number, length: number): boolean {
    const headers = udpHeaders(memory, offset, length);
    if (headers === 0) {
      this.close();
      return false;
    }
    const payload = length - VNET_HEADER_BYTES - headers;
    const run = this.#run;
    if (
      this.began !== undefined &&
      headers === this.#headers &&
      payload <= run.gsoSize &&
      this.parts.count < MAX_DATAGRAMS &&
      run.length + payload <= MAX_BYTES &&
      sameFlow(this.#memory!, this.#first, memory, offset, headers)
    ) {
      this.parts.push(memory, offset + VNET_HEADER_BYTES + headers, payload);
      run.length += payload;
      if (payload < run.gsoSize) this.close();
      return true;
    }
    this.close();
    this.#memory = memory;
    this.#first = offset;
    this.#headers = headers;
    run.gsoSize = run.length = payload;
    this.open();
    this.parts.push(memory, offset, length);
    return true;
  }

  protected override deliver(): void {
    const frames = this.parts.count;
    if (frames === 1) return this.#write(this.parts, GSO_NONE, 1);
    const { u8, view } = this.#memory!;
    const frame = this.#first + VNET_HEADER_BYTES;
    const headers = u8.subarray(frame, frame + this.#headers);
    const layout = layoutOf(headers, GSO_UDP_L4, this.#headers - 8) as Layout;
    cutHeaders(headers, layout, this.#run);
    writeVnetHeader(view, this.#first, layout, this.#run);
    this.#write(this.parts, GSO_UDP_L4, frames);
  }
}

/** Bytes of headers before the payload, if the frame is a datagram that may be joined; otherwise 0. */
function udpHeaders(memory: Memory, offset: number, length: number): number {
  const { u8, view } = memory;
  const frame = offset + VNET_HEADER_BYTES;
  const bytes = length - VNET_HEADER_BYTES;
  if (bytes <= IPV4_UDP_HEADERS || u8[offset] !== VNET_NEEDS_CSUM || u8[offset + 1] !== GSO_NONE) return 0;
  let headers = 0;
  switch (view.getUint16(frame + 12)) {
    case 0x0800:
      // No options and no fragmentation: the IP identification then has no meaning (RFC 6864).
      if (
        u8[frame + 14] !== 0x45 ||
        view.getUint16(frame + 20) !== DONT_FRAGMENT ||
        u8[frame + 23] !== UDP ||
        view.getUint16(frame + 16) !== bytes - 14
      )
        return 0;
      headers = IPV4_UDP_HEADERS;
      break;
    case 0x86dd:
      if (bytes <= IPV6_UDP_HEADERS || u8[frame + 20] !== UDP || view.getUint16(frame + 18) !== bytes - 54) return 0;
      headers = IPV6_UDP_HEADERS;
      break;
    default:
      return 0;
  }
  const l4 = headers - 8;
  const fits =
    view.getUint16(frame + l4 + 4) === bytes - l4 &&
    view.getUint16(offset + 6, true) === l4 &&
    view.getUint16(offset + 8, true) === 6;
  return fits ? headers : 0;
}

/** Whether two frames that passed {@link udpHeaders} differ only in lengths, checksums and the IP identification. */
function sameFlow(a: Memory, aAt: number, b: Memory, bAt: number, headers: number): boolean {
  const [x, y] = [a.view, b.view];
  const [i, j] = [aAt + VNET_HEADER_BYTES, bAt + VNET_HEADER_BYTES];
  const same = (at: number) => x.getUint32(i + at) === y.getUint32(j + at);
  if (!same(0) || !same(4) || !same(8) || !same(12)) return false;
  if (headers === IPV4_UDP_HEADERS)
    return x.getUint16(i + 22) === y.getUint16(j + 22) && same(26) && same(30) && same(34);
  if (x.getUint16(i + 16) !== y.getUint16(j + 16) || x.getUint16(i + 20) !== y.getUint16(j + 20)) return false;
  for (let at = 22; at <= 54; at += 4) if (!same(at)) return false;
  return true;
}
