import type { BufferRing } from "#router/datapath/buffer-ring.js";
import { OpenRun, type WriteRun } from "#router/datapath/open-run.js";
import {
  cutHeaders,
  DESCRIPTOR_BYTES,
  type Descriptor,
  FLAG_LAST,
  type Layout,
  layoutOf,
  readDescriptor,
  type SegmentRun,
  writeVnetHeader,
} from "#router/datapath/super-frame.js";
import type { Memory } from "#src/linux/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/linux/native/tap.js";

/** Records of one segment each make the longest list; then the run is delivered and another begins. */
const MAX_SPANS = 256;
const MAX_IP_PACKET = 65_535;

/** Whether so much payload makes an IP packet. */
const fits = (layout: Layout, payload: number) => layout.headers - layout.ip + payload <= MAX_IP_PACKET;

/**
 * Joins neighbouring segment runs of a super-frame into one. It is delivered when the super-frame's last run has come, at a
 * gap, before anything else from the network, and when there is nothing more to receive.
 */
export class SegmentJoiner extends OpenRun {
  readonly #write: WriteRun;
  readonly #descriptor: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };

  /** Of the open run: where its frame's headers are, in which memory and how laid out. */
  #memory: Memory | undefined;
  #headersAt = 0;
  #layout: Layout | undefined;
  /** Of the open run: the peer and the super-frame that it is of. */
  #source = 0;
  #id = 0;
  readonly #run: SegmentRun = { gsoType: 0, gsoSize: 0, offset: 0, length: 0, last: false };

  /** @param write takes each joined frame */
  constructor(ring: BufferRing, write: WriteRun) {
    super(ring, MAX_SPANS);
    this.#write = write;
  }

  /** Takes the body of a SEGMENTS record, which stays where it is until the run is closed. False: it is malformed. */
  add(source: number, memory: Memory, body: number, bodyBytes: number): boolean {
    const descriptor = this.#descriptor;
    if (!readDescriptor(memory.view, body, bodyBytes, descriptor)) {
      this.close();
      return false;
    }
    const payloadAt = body + DESCRIPTOR_BYTES + descriptor.headers;
    const payload = body + bodyBytes - payloadAt;
    if (this.#continues(source, payload)) {
      this.parts.push(memory, payloadAt, payload);
    } else {
      this.close();
      if (!this.#begin(source, memory, body, bodyBytes, payload)) return false;
    }
    const run = this.#run;
    run.length += payload;
    run.last = (descriptor.flags & FLAG_LAST) !== 0;
    if (run.last) this.close();
    return true;
  }

  /** Whether the run of the descriptor that was just read begins where the open run ends. */
  #continues(source: number, payload: number): boolean {
    const descriptor = this.#descriptor;
    const layout = this.#layout;
    const run = this.#run;
    return (
      this.began !== undefined &&
      layout !== undefined &&
      fits(layout, run.length + payload) &&
      this.#source === source &&
      this.#id === descriptor.id &&
      run.offset + run.length === descriptor.offset &&
      layout.headers === descriptor.headers &&
      this.parts.count < MAX_SPANS
    );
  }

  #begin(source: number, memory: Memory, body: number, bodyBytes: number, payload: number): boolean {
    const descriptor = this.#descriptor;
    const headersAt = body + DESCRIPTOR_BYTES;
    const headers = memory.u8.subarray(headersAt, headersAt + descriptor.headers);
    const layout = layoutOf(headers, descriptor.gsoType, descriptor.csumStart);
    if (layout === undefined || layout.headers !== descriptor.headers || !fits(layout, payload)) return false;
    this.#layout = layout;
    this.#memory = memory;
    this.#headersAt = headersAt;
    this.#source = source;
    this.#id = descriptor.id;
    const run = this.#run;
    run.offset = descriptor.offset;
    run.length = 0;
    run.gsoType = descriptor.gsoType;
    run.gsoSize = descriptor.gsoSize;
    this.open();
    // The virtio header takes the place of the descriptor, which has been read.
    const start = headersAt - VNET_HEADER_BYTES;
    this.parts.push(memory, start, body + bodyBytes - start);
    return true;
  }

  protected override deliver(): void {
    const { u8, view } = this.#memory!;
    const at = this.#headersAt;
    const layout = this.#layout!;
    const run = this.#run;
    const whole = run.offset === 0 && run.last;
    if (!whole) cutHeaders(u8.subarray(at, at + layout.headers), layout, run);
    writeVnetHeader(view, at - VNET_HEADER_BYTES, layout, run);
    this.#write(this.parts, view.getUint8(at - VNET_HEADER_BYTES + 1), 1);
  }
}
