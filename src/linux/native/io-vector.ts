import { WeaveError } from "#src/errors.js";
import { libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

/** Size of struct iovec. */
const ENTRY_BYTES = 16;
const TWO_32 = 0x1_0000_0000;

/**
 * A list of memory spans for one system call (struct iovec, readv(2)). The spans may belong to several memories, and each is
 * checked against its memory. An entry that equals the entry of the previous call is not written again: with steady traffic that
 * is nearly every entry.
 */
export class IoVector {
  readonly #entries: Memory;
  readonly #capacity: number;
  readonly #addresses: Float64Array;
  readonly #lengths: Int32Array;
  /** Number of spans. */
  count = 0;
  /** Sum of their lengths. */
  bytes = 0;

  /** @param capacity maximum number of spans; the kernel accepts 1024 (UIO_MAXIOV) */
  constructor(capacity: number) {
    this.#entries = new Memory(capacity * ENTRY_BYTES);
    this.#capacity = capacity;
    this.#addresses = new Float64Array(capacity);
    this.#lengths = new Int32Array(capacity);
  }

  /** Removes all spans. */
  clear(): void {
    this.count = 0;
    this.bytes = 0;
  }

  /** Appends a span. @throws WEAVE_BOUNDS when the span is not inside `memory`, or the list is full */
  push(memory: Memory, offset: number, length: number): void {
    const i = this.count;
    if (i >= this.#capacity) throw new WeaveError("WEAVE_BOUNDS", `more than ${this.#capacity} spans in one call`);
    const address = memory.at(offset, length);
    if (this.#addresses[i] !== address || this.#lengths[i] !== length) {
      this.#addresses[i] = address;
      this.#lengths[i] = length;
      const { view } = this.#entries;
      const entry = i * ENTRY_BYTES;
      view.setUint32(entry, address >>> 0, true);
      view.setUint32(entry + 4, Math.floor(address / TWO_32), true);
      view.setUint32(entry + 8, length, true);
      view.setUint32(entry + 12, 0, true);
    }
    this.count = i + 1;
    this.bytes += length;
  }

  /** Copies the first `length` bytes of the spans, in order, to `offset` of `to`. @returns the number of bytes copied @throws WEAVE_BOUNDS */
  gather(to: Memory, offset: number, length = this.bytes): number {
    let at = to.at(offset, length);
    let left = length;
    for (let i = 0; i < this.count && left > 0; i++) {
      const part = Math.min(left, this.#lengths[i]);
      libc.memmove(at, this.#addresses[i], part);
      at += part;
      left -= part;
    }
    return length - left;
  }

  /** Stores address and number of `count` entries from `first` on, as in a struct msghdr (msg_iov, msg_iovlen). */
  writeTo(view: DataView, at: number, first: number, count: number): void {
    const address = this.address(first);
    view.setUint32(at, address >>> 0, true);
    view.setUint32(at + 4, Math.floor(address / TWO_32), true);
    view.setUint32(at + 8, count, true);
  }

  /** Returns the address of the entries from `first` on, for a system call. */
  address(first = 0): number {
    return this.#entries.at(first * ENTRY_BYTES, (this.count - first) * ENTRY_BYTES);
  }
}
