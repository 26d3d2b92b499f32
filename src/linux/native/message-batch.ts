import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { readSockaddr, SOCKADDR_ROOM, sockaddrId } from "#src/linux/native/sockaddr.js";
import type { Endpoint } from "#src/net/endpoint.js";

// struct mmsghdr (recvmmsg(2)): a struct msghdr of 56 bytes, the received length, padding.
const MESSAGE_BYTES = 64;
/** Distance of two addresses (msg_name) in memory: a multiple of 8. */
const NAME_STRIDE = Math.ceil(SOCKADDR_ROOM / 8) * 8;
const NAME_LENGTH_AT = 8;
const VECTOR_AT = 16;
const LENGTH_AT = 56;

/** Buffers for several datagrams that one call receives, each with spans of its own. */
export class MessageBatch {
  /** Maximum number of datagrams of one call. */
  count = 0;
  readonly #headers: Memory;
  readonly #names: number;
  readonly #spans: number;
  readonly #parts: IoVector;

  /**
   * @param capacity maximum number of datagrams
   * @param spans number of spans of each datagram
   */
  constructor(capacity: number, spans: number) {
    this.#spans = spans;
    this.#names = capacity * MESSAGE_BYTES;
    this.#headers = new Memory(this.#names + capacity * NAME_STRIDE);
    this.#parts = new IoVector(capacity * spans);
  }

  /**
   * Sets the spans of all datagrams.
   *
   * @param count maximum number of datagrams of later calls
   * @param push appends the spans of one datagram
   * @throws WEAVE_BOUNDS
   */
  layOut(count: number, push: (parts: IoVector, datagram: number) => void): void {
    const parts = this.#parts;
    parts.clear();
    this.count = count;
    for (let i = 0; i < count; i++) push(parts, i);
    const { view } = this.#headers;
    for (let i = 0; i < count; i++) {
      const at = i * MESSAGE_BYTES;
      this.#headers.pointer(at, this.#nameAt(i), SOCKADDR_ROOM);
      view.setUint32(at + NAME_LENGTH_AT, SOCKADDR_ROOM, true);
      parts.writeTo(view, at + VECTOR_AT, i * this.#spans, this.#spans);
    }
  }

  /** Returns the address of the headers, for a system call. */
  address(): number {
    return this.#headers.at(0, this.count * MESSAGE_BYTES);
  }

  /** Returns the length in bytes of datagram `i` of the last call. */
  lengthOf(i: number): number {
    return this.#headers.view.getUint32(i * MESSAGE_BYTES + LENGTH_AT, true);
  }

  /** Returns the id of the sender's endpoint of datagram `i` of the last call. */
  sourceIdOf(i: number): number {
    return sockaddrId(this.#headers.view, this.#nameAt(i));
  }

  /** Returns the sender's endpoint of datagram `i` of the last call; undefined for an unknown address family. */
  sourceOf(i: number): Endpoint | undefined {
    return readSockaddr(this.#headers.view, this.#nameAt(i));
  }

  #nameAt(i: number): number {
    return this.#names + i * NAME_STRIDE;
  }
}
