import { MAX_FRAME } from "#router/datapath/record.js";
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
import { Memory } from "#src/host/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/host/native/tap.js";

/**
 * Joins neighbouring pieces of a super-frame into one write to the TAP. A run is closed by its last piece, by a gap, by
 * anything else from the network, and when there is nothing more to receive.
 */
export class Joiner {
  readonly #memory = new Memory(2 * MAX_FRAME);
  readonly #deliver: (memory: Memory, offset: number, length: number) => void;
  readonly #piece: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };

  /** Of the open run; `#layout` is undefined when there is none. */
  #layout: Layout | undefined;
  #source = 0;
  #id = 0;
  #from = 0;
  #next = 0;
  #last = false;
  #gsoType = 0;
  #gsoSize = 0;

  /** @param deliver is given each joined frame with its virtio header */
  constructor(deliver: (memory: Memory, offset: number, length: number) => void) {
    this.#deliver = deliver;
  }

  /** Takes the body of a PIECE record. False: it is malformed. */
  add(source: number, from: Memory, body: number, bodyBytes: number): boolean {
    const piece = this.#piece;
    if (!readDescriptor(from.view, body, bodyBytes, piece)) {
      this.close();
      return false;
    }
    const headersAt = body + DESCRIPTOR_BYTES;
    const payloadAt = headersAt + piece.headers;
    const payload = body + bodyBytes - payloadAt;
    const continues =
      this.#layout !== undefined &&
      this.#source === source &&
      this.#id === piece.id &&
      this.#next === piece.offset &&
      this.#layout.headers === piece.headers;
    if (!continues) {
      this.close();
      const layout = layoutOf(from.u8.subarray(headersAt, payloadAt), piece.csumStart);
      if (layout === undefined || layout.headers !== piece.headers) return false;
      this.#layout = layout;
      this.#source = source;
      this.#id = piece.id;
      this.#from = this.#next = piece.offset;
      this.#gsoType = piece.gsoType;
      this.#gsoSize = piece.gsoSize;
      this.#memory.u8.set(from.u8.subarray(headersAt, payloadAt), VNET_HEADER_BYTES);
    }
    const to = VNET_HEADER_BYTES + piece.headers + (this.#next - this.#from);
    this.#memory.at(to, payload);
    this.#memory.u8.set(from.u8.subarray(payloadAt, payloadAt + payload), to);
    this.#next += payload;
    this.#last = (piece.flags & FLAG_LAST) !== 0;
    if (this.#last) this.close();
    return true;
  }

  /** Delivers the open run, if there is one. */
  close(): void {
    const layout = this.#layout;
    if (layout === undefined) return;
    this.#layout = undefined;
    const payload = this.#next - this.#from;
    const whole = this.#from === 0 && this.#last;
    const headers = this.#memory.u8.subarray(VNET_HEADER_BYTES, VNET_HEADER_BYTES + layout.headers);
    if (!whole) cutHeaders(headers, layout, this.#from, payload, this.#gsoSize, this.#last);
    writeVnetHeader(this.#memory.view, 0, layout, this.#gsoType, this.#gsoSize, payload);
    this.#deliver(this.#memory, 0, VNET_HEADER_BYTES + layout.headers + payload);
  }
}
