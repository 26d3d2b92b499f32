import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { readSockaddr, SOCKADDR_ROOM, sockaddrId } from "#src/linux/native/sockaddr.js";
import type { Endpoint } from "#src/net/endpoint.js";

// struct mmsghdr (recvmmsg(2)): a struct msghdr of 56 bytes, the length received, padding.
const MESSAGE_BYTES = 64;
/** Names begin at multiples of 8. */
const NAME_STRIDE = Math.ceil(SOCKADDR_ROOM / 8) * 8;
const NAME_LENGTH_AT = 8;
const VECTOR_AT = 16;
const LENGTH_AT = 56;

/** Room for several datagrams that one call receives, each in spans of its own. */
export class MessageBatch {
  /** Datagrams that one call may bring. */
  count = 0;
  readonly #headers: Memory;
  readonly #names: number;
  readonly #spans: number;
  readonly #parts: IoVector;

  /**
   * @param capacity datagrams
   * @param spans of each datagram
   */
  constructor(capacity: number, spans: number) {
    this.#spans = spans;
    this.#names = capacity * MESSAGE_BYTES;
    this.#headers = new Memory(this.#names + capacity * NAME_STRIDE);
    this.#parts = new IoVector(capacity * spans);
  }

  /**
   * Sets the places of datagrams: the spans of the first one, of the second, and so on.
   *
   * @param count how many datagrams one call may bring from now on
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

  /** The address of the headers, for the call itself. */
  address(): number {
    return this.#headers.at(0, this.count * MESSAGE_BYTES);
  }

  /** Bytes of datagram `i` of the last call. */
  lengthOf(i: number): number {
    return this.#headers.view.getUint32(i * MESSAGE_BYTES + LENGTH_AT, true);
  }

  /** The id of the endpoint that datagram `i` of the last call came from. */
  sourceIdOf(i: number): number {
    return sockaddrId(this.#headers.view, this.#nameAt(i));
  }

  /** The endpoint that datagram `i` of the last call came from. */
  sourceOf(i: number): Endpoint | undefined {
    return readSockaddr(this.#headers.view, this.#nameAt(i));
  }

  #nameAt(i: number): number {
    return this.#names + i * NAME_STRIDE;
  }
}
