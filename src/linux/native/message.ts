import type { Endpoint } from "#src/linux/native/endpoint.js";
import type { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { SOL_IP, SOL_UDP, UDP_SEGMENT } from "#src/linux/native/udp.js";

// struct msghdr (recvmsg(2)): 56 bytes on 64-bit Linux; struct cmsghdr: 16, and a value.
const HEADER_BYTES = 56;
const NAME_LENGTH_AT = 8;
const VECTOR_AT = 16;
const CONTROL_POINTER_AT = 32;
const CONTROL_LENGTH_AT = 40;
const SOCKADDR_BYTES = 16;
const CMSG_HEADER = 16;
const CMSG_ALIGNMENT = 8;
const aligned = (bytes: number) => Math.ceil(bytes / CMSG_ALIGNMENT) * CMSG_ALIGNMENT;

// linux/in.h
const IP_PKTINFO = 8;
const PKTINFO_BYTES = 12;

// Places in its memory.
const HEADER_AT = 0;
const NAME_AT = 64;
const CONTROL_AT = 80;
const CONTROL_BYTES = 64;

/** What sendmsg(2) and recvmsg(2) take: an IPv4 address, spans, and control messages. */
export class Message {
  readonly #memory = new Memory(CONTROL_AT + CONTROL_BYTES);
  /** struct sockaddr_in. */
  readonly name = new DataView(this.#memory.view.buffer, this.#memory.view.byteOffset + NAME_AT, SOCKADDR_BYTES);

  constructor() {
    const memory = this.#memory;
    memory.pointer(HEADER_AT, NAME_AT, SOCKADDR_BYTES);
    memory.pointer(HEADER_AT + CONTROL_POINTER_AT, CONTROL_AT, CONTROL_BYTES);
  }

  /** Sets the spans. */
  vector(parts: IoVector, first: number, count: number): void {
    parts.writeTo(this.#memory.view, HEADER_AT + VECTOR_AT, first, count);
    this.#memory.view.setUint32(HEADER_AT + NAME_LENGTH_AT, SOCKADDR_BYTES, true);
  }

  /**
   * Sets the control messages of a send (cmsg(3)); neither for zero.
   *
   * @param source the address to send from, whatever its port (IP_PKTINFO, ip(7))
   * @param segmentBytes of each datagram that the kernel is to make of the spans (UDP_SEGMENT, udp(7))
   */
  control(source: Endpoint, segmentBytes: number): void {
    const { view } = this.#memory;
    let end = CONTROL_AT;
    if (source !== 0) {
      this.#controlHeader(end, PKTINFO_BYTES, SOL_IP, IP_PKTINFO);
      // struct in_pktinfo: the interface's index, the address to send from, and one that only a receiver is given.
      view.setUint32(end + CMSG_HEADER, 0, true);
      view.setUint32(end + CMSG_HEADER + 4, Math.floor(source / 65536), false);
      view.setUint32(end + CMSG_HEADER + 8, 0, true);
      end += CMSG_HEADER + aligned(PKTINFO_BYTES);
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

  /** Gives the kernel room for control messages. */
  expectControl(): void {
    this.#memory.view.setUint32(HEADER_AT + CONTROL_LENGTH_AT, CONTROL_BYTES, true);
  }

  /** The value, of 32 bits, of the control message that the kernel has put there; 0: it put none, or another. */
  received(level: number, type: number): number {
    const { view } = this.#memory;
    if (view.getUint32(HEADER_AT + CONTROL_LENGTH_AT, true) < CMSG_HEADER + 4) return 0;
    const wanted = view.getInt32(CONTROL_AT + 8, true) === level && view.getInt32(CONTROL_AT + 12, true) === type;
    return wanted ? view.getInt32(CONTROL_AT + CMSG_HEADER, true) : 0;
  }

  /** The address of the header, for the call itself. */
  address(): number {
    return this.#memory.at(HEADER_AT, HEADER_BYTES);
  }

  free(): void {
    this.#memory.free();
  }
}
