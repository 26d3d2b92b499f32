import { LARGEST_FRAGMENT, SMALLEST_FRAGMENT } from "#router/datapath/fragment-size.js";
import { DATAGRAM_HEADER } from "#router/datapath/record.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { MessageBatch } from "#src/linux/native/message-batch.js";

/** What one receive may bring: UDP_GRO joins datagrams up to 64 KB. */
export const RECEIVE_BYTES = 65_536;
/** Datagrams that one call brings where the kernel does not join them. */
const BATCH_DATAGRAMS = 48;
/** Each of these in a header slot, a fragment slot, and the overflow. */
const BATCH_SPANS = 3;

const MAX_DATAGRAMS = Math.ceil(RECEIVE_BYTES / (SMALLEST_FRAGMENT + DATAGRAM_HEADER));
/** From one header to the next. */
export const HEADER_SLOT = 16;

// Places in a buffer. Fragments lie one after the other from the start; the last may reach beyond the bytes of a receive.
export const HEADERS_AT = RECEIVE_BYTES + LARGEST_FRAGMENT;
/** The datagrams of one receive as they came: for those that do not fit the layout. */
export const UNSCATTERED_AT = HEADERS_AT + MAX_DATAGRAMS * HEADER_SLOT;
const BUFFER_BYTES = UNSCATTERED_AT + RECEIVE_BYTES;

/** The part of each datagram of a batch that does not fit its slot, at `index * LARGEST_FRAGMENT`. */
export const newOverflow = (): Memory => new Memory(BATCH_DATAGRAMS * LARGEST_FRAGMENT);

/**
 * Memory for one receive, scattered: headers go to slots of their own, so that the fragments of a record lie together and it
 * is opened where it arrived. For this the size of fragments has to be known before.
 */
export class ReceiveBuffer {
  readonly memory = new Memory(BUFFER_BYTES);
  /** For datagrams that the kernel joins. */
  readonly joined = new IoVector(2 * MAX_DATAGRAMS);
  /** For datagrams that it does not join. */
  readonly batch = new MessageBatch(BATCH_DATAGRAMS, BATCH_SPANS);
  /** Bytes of a fragment slot. */
  fragmentBytes = 0;

  /** Lays the spans out for fragments of `bytes`. */
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
