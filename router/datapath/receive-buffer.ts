import { LARGEST_FRAGMENT, SMALLEST_FRAGMENT } from "#router/datapath/fragment-size.js";
import { DATAGRAM_HEADER } from "#router/datapath/record.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { MessageBatch } from "#src/linux/native/message-batch.js";

/** Maximum bytes of one receive call: UDP_GRO joins datagrams up to 64 KB. */
export const RECEIVE_BYTES = 65_536;
/** Maximum datagrams of one call where the kernel does not join them (recvmmsg). */
const BATCH_DATAGRAMS = 48;
/** A datagram of a batch has three spans: a header slot, a fragment slot, and the overflow. */
const BATCH_SPANS = 3;

const MAX_DATAGRAMS = Math.ceil(RECEIVE_BYTES / (SMALLEST_FRAGMENT + DATAGRAM_HEADER));
/** Bytes from one header to the next. */
export const HEADER_SLOT = 16;

/** Offset of the header slots. Fragments are contiguous from offset 0; the last may extend beyond {@link RECEIVE_BYTES}. */
export const HEADERS_AT = RECEIVE_BYTES + LARGEST_FRAGMENT;
/** Offset of the area for datagrams whose size does not match the layout: they are copied here unscattered. */
export const UNSCATTERED_AT = HEADERS_AT + MAX_DATAGRAMS * HEADER_SLOT;
const BUFFER_BYTES = UNSCATTERED_AT + RECEIVE_BYTES;

/** Memory for the part of each datagram of a batch that exceeds its slot, at `index * LARGEST_FRAGMENT`. */
export const newOverflow = (): Memory => new Memory(BATCH_DATAGRAMS * LARGEST_FRAGMENT);

/**
 * Memory for one scattered receive. Headers are received into separate slots, so the fragments of a record are contiguous and
 * the record is opened in place. The layout requires that the size of fragments is known before the receive.
 */
export class ReceiveBuffer {
  readonly memory = new Memory(BUFFER_BYTES);
  /** Spans for datagrams that the kernel joins. */
  readonly joined = new IoVector(2 * MAX_DATAGRAMS);
  /** Spans for datagrams that the kernel does not join. */
  readonly batch = new MessageBatch(BATCH_DATAGRAMS, BATCH_SPANS);
  /** Bytes of a fragment slot. */
  fragmentBytes = 0;

  /** Lays out the spans for fragments of `bytes`. */
  layOut(bytes: number, overflow: Memory): void {
    const { memory, joined, batch } = this;
    const place = (parts: IoVector, i: number) => {
      parts.push(memory, HEADERS_AT + i * HEADER_SLOT, DATAGRAM_HEADER);
      parts.push(memory, i * bytes, bytes);
    };
    joined.clear();
    const datagrams = Math.ceil(RECEIVE_BYTES / (bytes + DATAGRAM_HEADER));
    for (let i = 0; i < datagrams; i++) place(joined, i);
    batch.layOut(Math.min(BATCH_DATAGRAMS, Math.floor(HEADERS_AT / bytes)), (parts, i) => {
      place(parts, i);
      parts.push(overflow, i * LARGEST_FRAGMENT, LARGEST_FRAGMENT - bytes);
    });
    this.fragmentBytes = bytes;
  }
}
