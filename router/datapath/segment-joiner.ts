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

/** Maximum spans of a run, one for each record. A longer run is delivered in parts. */
const MAX_SPANS = 256;
const MAX_IP_PACKET = 65_535;

/** Whether the headers and so many bytes of payload fit one IP packet. */
const fits = (layout: Layout, payload: number) => layout.headers - layout.ip + payload <= MAX_IP_PACKET;

/**
 * Joins adjacent segment runs of a super-frame into one open run. The open run is delivered after the super-frame's last
 * run, at a gap, before any other frame from the network, and when there is no more to receive.
 */
export class SegmentJoiner extends OpenRun {
  readonly #write: WriteRun;
  readonly #descriptor: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };

  /** The frame headers of the open run: their memory, offset and layout. */
  #memory: Memory | undefined;
  #headersAt = 0;
  #layout: Layout | undefined;
  /** The source peer of the open run, and the id of its super-frame. */
  #source = 0;
  #id = 0;
  readonly #run: SegmentRun = { gsoType: 0, gsoSize: 0, offset: 0, length: 0, last: false };

  /** @param write writes each joined frame */
  constructor(ring: BufferRing, write: WriteRun) {
    super(ring, MAX_SPANS);
    this.#write = write;
  }

  /** Adds the body of a SEGMENTS record. Its bytes must stay in place until the run is closed. False: it is malformed. */
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

  /** Whether the run of the last descriptor continues the open run. */
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
    // The virtio header overwrites the end of the descriptor.
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
