import { RECEIVE_BYTES } from "#router/datapath/receive-buffer.js";
import { DATAGRAM_HEADER } from "#router/datapath/record.js";
import type { Memory } from "#src/linux/native/memory.js";
import type { MessageBatch } from "#src/linux/native/message-batch.js";

/** The datagrams of one receive call, with the offsets of their headers and fragments. Reused for all receives of a thread. */
export class ReceivedDatagrams {
  memory: Memory;
  count = 0;
  /** The header of datagram i is at `headersAt + i * headerStep`, its fragment at `fragmentsAt + i * fragmentStep`. */
  headersAt = 0;
  headerStep = 0;
  fragmentsAt = 0;
  fragmentStep = 0;
  /** The messages of recvmmsg(2), each with a sender of its own; undefined: all datagrams have one sender. */
  batch: MessageBatch | undefined;
  /** Bytes of each datagram. In the worst case each datagram has one byte. */
  readonly lengths = new Int32Array(RECEIVE_BYTES);

  constructor(memory: Memory) {
    this.memory = memory;
  }

  headerAt(i: number): number {
    return this.headersAt + i * this.headerStep;
  }

  fragmentAt(i: number): number {
    return this.fragmentsAt + i * this.fragmentStep;
  }

  /** Bytes of the fragment of datagram `i`; negative when the header is incomplete. */
  fragmentBytes(i: number): number {
    return this.lengths[i] - DATAGRAM_HEADER;
  }

  /**
   * Makes the fragments of the record that begins with datagram `first` contiguous, by copying where necessary.
   *
   * @returns the length of the record; 0: its `fragments` fragments are not all here and in order
   */
  gather(first: number, fragments: number): number {
    if (!this.#isRecord(first, fragments)) return 0;
    const { memory } = this;
    const start = this.fragmentAt(first);
    let end = start;
    for (let i = first; i < first + fragments; i++) {
      const bytes = this.fragmentBytes(i);
      const from = this.fragmentAt(i);
      if (end !== from) memory.copy(end, from, bytes);
      end += bytes;
    }
    return end - start;
  }

  /** Whether datagram `first` and those after it are the fragments of one record, in order, each in its slot. */
  #isRecord(first: number, fragments: number): boolean {
    const { u8, view } = this.memory;
    const start = this.headerAt(first);
    if (fragments > this.count - first || u8[start + 1] !== 0) return false;
    const word = view.getUint32(start, true);
    const session = view.getUint32(start + 4, true);
    const counter = view.getUint32(start + 8, true);
    for (let i = 0; i < fragments; i++) {
      const bytes = this.fragmentBytes(first + i);
      const header = start + i * this.headerStep;
      // The first word is type, index, count, lane and epoch: only the index differs.
      if (
        bytes <= 0 ||
        bytes > this.fragmentStep ||
        view.getUint32(header, true) !== word + i * 256 ||
        view.getUint32(header + 4, true) !== session ||
        view.getUint32(header + 8, true) !== counter
      )
        return false;
    }
    return true;
  }
}
