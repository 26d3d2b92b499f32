import { MAX_CAPTURE } from "#router/datapath/record.js";
import {
  completeChecksum,
  cutHeaders,
  GSO_ECN,
  GSO_NONE,
  GSO_UDP_L4,
  isSuperFrame,
  layoutOf,
  MAX_HEADERS,
  VNET_NEEDS_CSUM,
} from "#router/datapath/super-frame.js";
import { readInto, writeFrom, writeParts } from "#src/linux/native/files.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Errno } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { type TapOffloads, VNET_HEADER_BYTES } from "#src/linux/native/tap.js";

/** A super-frame of more segments than this is nobody's: 64 KB at TCP's smallest segment (TCP_MIN_MSS). */
const MAX_PARTS = 65_535 / 48;

/**
 * One queue of the TAP: frames always have a virtio header on our side of it. What the kernel does not do there (Linux
 * without virtio headers, or without segments of UDP) is done here, by the rules that it would follow.
 */
export class FramePort {
  readonly #fd: number;
  readonly #offloads: TapOffloads;
  readonly #single = new IoVector(1);
  /** Only where something is done here: a frame in one span, and the segment that is made of it. */
  readonly #frame: Memory | undefined;
  readonly #segment: Memory | undefined;

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

  /** Reads one frame to `offset`, header first. Returns its length with the header, or minus errno. */
  read(memory: Memory, offset: number, room: number): number {
    if (this.#offloads.vnetHeader) return readInto(this.#fd, memory, offset, room);
    const length = readInto(this.#fd, memory, offset + VNET_HEADER_BYTES, room - VNET_HEADER_BYTES);
    if (length <= 0) return length;
    memory.u8.fill(0, offset, offset + VNET_HEADER_BYTES);
    return length + VNET_HEADER_BYTES;
  }

  /** Writes a frame whose header is first. False: the kernel did not take it. */
  write(memory: Memory, offset: number, length: number): boolean {
    if (this.#kernelTakes(memory.view.getUint8(offset + 1))) return writeFrom(this.#fd, memory, offset, length) >= 0;
    this.#single.clear();
    this.#single.push(memory, offset, length);
    return this.#software(this.#single);
  }

  /** As {@link write}, of a frame in several spans; the first has all headers. */
  writeParts(parts: IoVector, gsoType: number): boolean {
    if (this.#kernelTakes(gsoType)) return writeParts(this.#fd, parts) >= 0;
    return this.#software(parts);
  }

  #kernelTakes(gsoType: number): boolean {
    return this.#offloads.vnetHeader && (this.#offloads.uso || (gsoType & ~GSO_ECN) !== GSO_UDP_L4);
  }

  /** Segments and completes the checksums of a frame, and writes what comes of it. */
  #software(parts: IoVector): boolean {
    const frame = this.#frame!;
    const segment = this.#segment!;
    const length = parts.gather(frame, 0);
    const { view } = frame;
    const gsoType = view.getUint8(1);
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
    const { headers, l4 } = layout;
    const payload = bytes.length - headers;
    if (payload / size > MAX_PARTS) return false;
    let done = true;
    for (let at = 0; at < payload; at += size) {
      const part = Math.min(size, payload - at);
      segment.copyFrom(VNET_HEADER_BYTES, frame, VNET_HEADER_BYTES, headers);
      segment.copyFrom(VNET_HEADER_BYTES + headers, frame, VNET_HEADER_BYTES + headers + at, part);
      const cut = segment.u8.subarray(VNET_HEADER_BYTES, VNET_HEADER_BYTES + headers + part);
      cutHeaders(cut, layout, at, part, size, at + part === payload);
      completeChecksum(cut, l4, sumField);
      segment.u8.fill(0, 0, VNET_HEADER_BYTES);
      done = this.#plain(segment, VNET_HEADER_BYTES + headers + part) && done;
    }
    return done;
  }

  /** Writes a frame that needs nothing more from anybody. */
  #plain(memory: Memory, length: number): boolean {
    if (this.#offloads.vnetHeader) {
      memory.u8.fill(0, 0, VNET_HEADER_BYTES);
      return writeFrom(this.#fd, memory, 0, length) >= 0;
    }
    return writeFrom(this.#fd, memory, VNET_HEADER_BYTES, length - VNET_HEADER_BYTES) >= 0;
  }
}

/** Whether a read that failed may succeed later. */
export const isTransient = (result: number) => result === -Errno.EAGAIN || result === -Errno.EINTR;
