import type { FrameDevice } from "#router/datapath/frame-device.js";
import { MAX_CAPTURE } from "#router/datapath/record.js";
import {
  AT_GSO_TYPE,
  completeChecksum,
  cutHeaders,
  GSO_ECN,
  GSO_NONE,
  GSO_UDP_L4,
  isSuperFrame,
  type Layout,
  layoutOf,
  MAX_HEADERS,
  type SegmentRun,
  VNET_NEEDS_CSUM,
} from "#router/datapath/super-frame.js";
import { readInto, writeFrom, writeParts } from "#src/linux/native/files.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Errno } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { type TapOffloads, VNET_HEADER_BYTES } from "#src/linux/native/tap.js";

/** Maximum segments of a super-frame: 64 KB at TCP's smallest segment size (TCP_MIN_MSS, 48 bytes). */
const MAX_SEGMENTS = 65_535 / 48;

/**
 * One queue of the TAP. Emulates virtio headers and UDP segmentation, by the kernel's rules, where the kernel lacks them.
 */
export class FramePort implements FrameDevice {
  readonly #fd: number;
  readonly #offloads: TapOffloads;
  readonly #single = new IoVector(1);
  /** Memory for emulation: a whole frame, and a segment cut from it. Undefined when the kernel has both offloads. */
  readonly #frame: Memory | undefined;
  readonly #segment: Memory | undefined;
  readonly #run: SegmentRun = { gsoType: GSO_NONE, gsoSize: 0, offset: 0, length: 0, last: false };

  constructor(fd: number, offloads: TapOffloads) {
    this.#fd = fd;
    this.#offloads = offloads;
    if (!offloads.vnetHeader || !offloads.uso) {
      this.#frame = new Memory(VNET_HEADER_BYTES + MAX_CAPTURE);
      this.#segment = new Memory(VNET_HEADER_BYTES + MAX_CAPTURE);
    }
  }

  get takesUdpSuperFrames(): boolean {
    return this.#offloads.vnetHeader && this.#offloads.uso;
  }

  read(memory: Memory, offset: number, room: number): number {
    if (this.#offloads.vnetHeader) return readInto(this.#fd, memory, offset, room);
    const length = readInto(this.#fd, memory, offset + VNET_HEADER_BYTES, room - VNET_HEADER_BYTES);
    if (length <= 0) return length;
    memory.u8.fill(0, offset, offset + VNET_HEADER_BYTES);
    return length + VNET_HEADER_BYTES;
  }

  write(memory: Memory, offset: number, length: number): boolean {
    if (this.#kernelTakes(memory.view.getUint8(offset + AT_GSO_TYPE)))
      return writeFrom(this.#fd, memory, offset, length) >= 0;
    this.#single.clear();
    this.#single.push(memory, offset, length);
    return this.#software(this.#single);
  }

  writeParts(parts: IoVector, gsoType: number): boolean {
    if (this.#kernelTakes(gsoType)) return writeParts(this.#fd, parts) >= 0;
    return this.#software(parts);
  }

  #kernelTakes(gsoType: number): boolean {
    return this.#offloads.vnetHeader && (this.#offloads.uso || (gsoType & ~GSO_ECN) !== GSO_UDP_L4);
  }

  /** Completes the checksum of a frame or segments it, and writes the result. */
  #software(parts: IoVector): boolean {
    const frame = this.#frame!;
    const length = parts.gather(frame, 0);
    const { view } = frame;
    const gsoType = view.getUint8(AT_GSO_TYPE);
    const needsSum = (view.getUint8(0) & VNET_NEEDS_CSUM) !== 0;
    const sumStart = view.getUint16(6, true);
    const sumField = view.getUint16(8, true);
    const bytes = frame.u8.subarray(VNET_HEADER_BYTES, length);
    if (gsoType === GSO_NONE) {
      if (needsSum) {
        if (sumStart + sumField + 2 > bytes.length) return false;
        completeChecksum(bytes, sumStart, sumField);
      }
      return this.#plain(frame, length);
    }
    const size = view.getUint16(4, true);
    const layout = layoutOf(bytes.subarray(0, MAX_HEADERS), gsoType, sumStart);
    if (!isSuperFrame(gsoType) || size === 0 || layout === undefined || layout.headers >= bytes.length) return false;
    const payload = bytes.length - layout.headers;
    if (payload / size > MAX_SEGMENTS) return false;
    return this.#segments(layout, size, payload, sumField);
  }

  /** Writes the super-frame in `#frame` as segments of `size` bytes of payload. False: the kernel rejected a segment. */
  #segments(layout: Layout, size: number, payload: number, sumField: number): boolean {
    const frame = this.#frame!;
    const segment = this.#segment!;
    const run = this.#run;
    const { headers, l4 } = layout;
    const payloadAt = VNET_HEADER_BYTES + headers;
    run.gsoSize = size;
    let done = true;
    for (run.offset = 0; run.offset < payload; run.offset += size) {
      run.length = Math.min(size, payload - run.offset);
      run.last = run.offset + run.length === payload;
      segment.copyFrom(VNET_HEADER_BYTES, frame, VNET_HEADER_BYTES, headers);
      segment.copyFrom(payloadAt, frame, payloadAt + run.offset, run.length);
      const cut = segment.u8.subarray(VNET_HEADER_BYTES, payloadAt + run.length);
      cutHeaders(cut, layout, run);
      completeChecksum(cut, l4, sumField);
      done = this.#plain(segment, payloadAt + run.length) && done;
    }
    return done;
  }

  /** Writes a frame with complete checksums. */
  #plain(memory: Memory, length: number): boolean {
    if (this.#offloads.vnetHeader) {
      memory.u8.fill(0, 0, VNET_HEADER_BYTES);
      return writeFrom(this.#fd, memory, 0, length) >= 0;
    }
    return writeFrom(this.#fd, memory, VNET_HEADER_BYTES, length - VNET_HEADER_BYTES) >= 0;
  }
}

/** Whether a failed read may succeed later. @param result minus errno */
export const isTransient = (result: number) => result === -Errno.EAGAIN || result === -Errno.EINTR;
