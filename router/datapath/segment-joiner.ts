import { BUFFERS } from "#router/datapath/record.js";
import {
  cutHeaders,
  DESCRIPTOR_BYTES,
  type Descriptor,
  FLAG_LAST,
  type Layout,
  layoutOf,
  readDescriptor,
  writeVnetHeader,
} from "#router/datapath/super-frame.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import type { Memory } from "#src/linux/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/linux/native/tap.js";

/** Records of one segment each make the longest list; then the run is delivered and another begins. */
const MAX_SPANS = 256;
const MAX_IP_PACKET = 65_535;

/** Whether so much payload makes an IP packet. */
const fits = (layout: Layout, payload: number) => layout.headers - layout.ip + payload <= MAX_IP_PACKET;

/**
 * Joins neighbouring segment runs of a super-frame into one write to the TAP, from where they were received: nothing is copied,
 * so they must be delivered before their memory is used again. They are also delivered at the last run, by a gap, by anything else
 * from the network, and when there is nothing more to receive.
 */
export class SegmentJoiner {
  readonly #deliver: (parts: IoVector, gsoType: number) => void;
  readonly #parts = new IoVector(MAX_SPANS);
  readonly #descriptor: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };

  /** Of the open run; `#layout` is undefined when there is none. */
  #layout: Layout | undefined;
  #memory: Memory | undefined;
  #headersAt = 0;
  #source = 0;
  #id = 0;
  #from = 0;
  #next = 0;
  #last = false;
  #gsoType = 0;
  #gsoSize = 0;
  /** The receive that is under way, and the one that the run began in. */
  #turn = 0;
  #began = 0;

  /** @param deliver is given each joined frame with its virtio header, as spans */
  constructor(deliver: (parts: IoVector, gsoType: number) => void) {
    this.#deliver = deliver;
  }

  /** Takes the body of a SEGMENTS record, which stays where it is until the run is closed. False: it is malformed. */
  add(source: number, from: Memory, body: number, bodyBytes: number): boolean {
    const descriptor = this.#descriptor;
    if (!readDescriptor(from.view, body, bodyBytes, descriptor)) {
      this.close();
      return false;
    }
    const headersAt = body + DESCRIPTOR_BYTES;
    const payloadAt = headersAt + descriptor.headers;
    const payload = body + bodyBytes - payloadAt;
    const layout = this.#layout;
    if (
      layout !== undefined &&
      fits(layout, this.#next - this.#from + payload) &&
      this.#source === source &&
      this.#id === descriptor.id &&
      this.#next === descriptor.offset &&
      layout.headers === descriptor.headers &&
      this.#parts.count < MAX_SPANS
    ) {
      this.#parts.push(from, payloadAt, payload);
    } else {
      this.close();
      const found = layoutOf(from.u8.subarray(headersAt, payloadAt), descriptor.gsoType, descriptor.csumStart);
      if (found === undefined || found.headers !== descriptor.headers || !fits(found, payload)) return false;
      this.#layout = found;
      this.#memory = from;
      this.#headersAt = headersAt;
      this.#source = source;
      this.#id = descriptor.id;
      this.#from = this.#next = descriptor.offset;
      this.#gsoType = descriptor.gsoType;
      this.#gsoSize = descriptor.gsoSize;
      // The virtio header takes the place of the descriptor, which has been read.
      const start = headersAt - VNET_HEADER_BYTES;
      this.#began = this.#turn;
      this.#parts.push(from, start, body + bodyBytes - start);
    }
    this.#next += payload;
    this.#last = (descriptor.flags & FLAG_LAST) !== 0;
    if (this.#last) this.close();
    return true;
  }

  /** Receive number `turn` is about to use the memory of the one {@link BUFFERS} before. */
  turn(turn: number): void {
    if (this.#began + BUFFERS <= turn) this.close();
    this.#turn = turn;
  }

  /** Delivers the open run, if there is one. */
  close(): void {
    const layout = this.#layout;
    if (layout === undefined) return;
    this.#layout = undefined;
    const { u8, view } = this.#memory!;
    const at = this.#headersAt;
    const payload = this.#next - this.#from;
    try {
      const whole = this.#from === 0 && this.#last;
      if (!whole)
        cutHeaders(u8.subarray(at, at + layout.headers), layout, this.#from, payload, this.#gsoSize, this.#last);
      writeVnetHeader(view, at - VNET_HEADER_BYTES, layout, this.#gsoType, this.#gsoSize, payload);
      this.#deliver(this.#parts, view.getUint8(at - VNET_HEADER_BYTES + 1));
    } finally {
      this.#parts.clear();
    }
  }
}
