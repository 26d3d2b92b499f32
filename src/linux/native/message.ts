import type { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import {
  familyLayout,
  readSockaddr,
  SOCKADDR_ROOM,
  SOURCE_ROOM,
  sockaddrId,
  writeAddress,
  writeSockaddr,
} from "#src/linux/native/sockaddr.js";
import { SOL_UDP, UDP_SEGMENT } from "#src/linux/native/udp.js";
import type { Endpoint } from "#src/net/endpoint.js";

// struct msghdr (recvmsg(2)) has 56 bytes on 64-bit Linux; struct cmsghdr has 16, and a value follows.
const HEADER_BYTES = 56;
const NAME_LENGTH_AT = 8;
const VECTOR_AT = 16;
const CONTROL_POINTER_AT = 32;
const CONTROL_LENGTH_AT = 40;
const CMSG_HEADER = 16;
const CMSG_ALIGNMENT = 8;
const aligned = (bytes: number) => Math.ceil(bytes / CMSG_ALIGNMENT) * CMSG_ALIGNMENT;

// Offsets in the memory of a message.
const HEADER_AT = 0;
const NAME_AT = 64;
const CONTROL_AT = 96;
/** Room for two control messages, a source address and a segment size, each with header and value. */
const CONTROL_BYTES = 2 * CMSG_HEADER + aligned(SOURCE_ROOM) + aligned(2);

/** The argument of sendmsg(2) and recvmsg(2): an endpoint, spans, and control messages. */
export class Message {
  readonly #memory = new Memory(CONTROL_AT + CONTROL_BYTES);

  constructor() {
    const memory = this.#memory;
    memory.pointer(HEADER_AT, NAME_AT, SOCKADDR_ROOM);
    memory.pointer(HEADER_AT + CONTROL_POINTER_AT, CONTROL_AT, CONTROL_BYTES);
  }

  /** Sets the spans: `count` of `parts`, from `first` on. */
  vector(parts: IoVector, first: number, count: number): void {
    parts.writeTo(this.#memory.view, HEADER_AT + VECTOR_AT, first, count);
  }

  /** Sets the destination of a send. */
  to(endpoint: Endpoint): void {
    const { view } = this.#memory;
    view.setUint32(HEADER_AT + NAME_LENGTH_AT, writeSockaddr(view, NAME_AT, endpoint), true);
  }

  /** The id of the sender's endpoint of the last receive. */
  get sourceId(): number {
    return sockaddrId(this.#memory.view, NAME_AT);
  }

  /** The sender's endpoint of the last receive; undefined for an unknown address family. */
  get source(): Endpoint | undefined {
    return readSockaddr(this.#memory.view, NAME_AT);
  }

  /**
   * Sets the control messages of a send (cmsg(3)).
   *
   * @param source the address to send from, its port is ignored; undefined: the kernel chooses the address
   * @param segmentBytes size of the datagrams that the kernel makes of the spans (UDP_SEGMENT, udp(7)); 0: one datagram
   */
  control(source: Endpoint | undefined, segmentBytes: number): void {
    const { view } = this.#memory;
    let end = CONTROL_AT;
    if (source !== undefined) {
      const { level, type, bytes, addressAt } = familyLayout(source).source;
      this.#controlHeader(end, bytes, level, type);
      for (let i = 0; i < bytes; i += 4) view.setUint32(end + CMSG_HEADER + i, 0, true);
      writeAddress(view, end + CMSG_HEADER + addressAt, source);
      end += CMSG_HEADER + aligned(bytes);
    }
    if (segmentBytes > 0) {
      this.#controlHeader(end, 2, SOL_UDP, UDP_SEGMENT);
      view.setUint16(end + CMSG_HEADER, segmentBytes, true);
      end += CMSG_HEADER + aligned(2);
    }
    view.setUint32(HEADER_AT + CONTROL_LENGTH_AT, end - CONTROL_AT, true);
  }

  #controlHeader(at: number, bytes: number, level: number, type: number): void {
    const { view } = this.#memory;
    view.setUint32(at, CMSG_HEADER + bytes, true);
    view.setUint32(at + 4, 0, true);
    view.setInt32(at + 8, level, true);
    view.setInt32(at + 12, type, true);
  }

  /** Provides room for the sender's address and for control messages. Must precede each receive. */
  prepareReceive(): void {
    const { view } = this.#memory;
    view.setUint32(HEADER_AT + NAME_LENGTH_AT, SOCKADDR_ROOM, true);
    view.setUint32(HEADER_AT + CONTROL_LENGTH_AT, CONTROL_BYTES, true);
  }

  /** Returns the 32-bit value of the received control message; 0 if there is none of this level and type. */
  received(level: number, type: number): number {
    const { view } = this.#memory;
    if (view.getUint32(HEADER_AT + CONTROL_LENGTH_AT, true) < CMSG_HEADER + 4) return 0;
    const wanted = view.getInt32(CONTROL_AT + 8, true) === level && view.getInt32(CONTROL_AT + 12, true) === type;
    return wanted ? view.getInt32(CONTROL_AT + CMSG_HEADER, true) : 0;
  }

  /** Returns the address of the header, for a system call. */
  address(): number {
    return this.#memory.at(HEADER_AT, HEADER_BYTES);
  }

  free(): void {
    this.#memory.free();
  }
}
