import type { IoVector } from "#src/linux/native/io-vector.js";
import { Errno, errno, libc } from "#src/linux/native/libc.js";
import { Message } from "#src/linux/native/message.js";
import { MSG_DONTWAIT } from "#src/linux/native/udp.js";
import type { Endpoint } from "#src/net/endpoint.js";

/** Sends without segmentation after EIO, the error of a device without checksum offload. Then segmentation is tried again. */
const SENDS_BEFORE_RETRY = 10_000;

/** The way of datagrams to a peer. */
export interface SendPath {
  readonly address: Endpoint;
  /** The source address, its port is ignored; undefined: the kernel chooses the address. */
  readonly source: Endpoint | undefined;
  /** Whether one call may send several datagrams, which the kernel segments. */
  readonly batches: boolean;
}

/** The sending side of a UDP socket. With segmentation offload one call sends up to 64 KB. */
export class UdpSender {
  readonly #fd: number;
  readonly #message = new Message();
  readonly #segment: boolean;
  /** Number of further sends without segmentation. */
  #singly = 0;
  /** The destination in the message. */
  #to: Endpoint | undefined;

  /**
   * @param fd a socket of udp.ts
   * @param segment whether the kernel has UDP_SEGMENT
   */
  constructor(fd: number, segment: boolean) {
    this.#fd = fd;
    this.#segment = segment;
  }

  /**
   * Sends the spans of `parts` as datagrams of `segmentBytes`; the last datagram may be shorter.
   *
   * @param spans number of spans of one datagram
   * @returns the number of bytes, or minus errno: ENETUNREACH or EINVAL, depending on the kernel, where this host does not
   *   have the source address
   */
  send(parts: IoVector, segmentBytes: number, spans: number, { address, source, batches }: SendPath): number {
    if (address !== this.#to) {
      this.#to = address;
      this.#message.to(address);
    }
    if (parts.bytes <= segmentBytes) return this.#sendSpans(parts, 0, parts.count, source, 0);
    if (this.#singly > 0) this.#singly--;
    else if (this.#segment && batches) {
      const sent = this.#sendSpans(parts, 0, parts.count, source, segmentBytes);
      if (sent !== -Errno.EIO) return sent;
      this.#singly = SENDS_BEFORE_RETRY;
    }
    let total = 0;
    for (let first = 0; first < parts.count; first += spans) {
      const sent = this.#sendSpans(parts, first, Math.min(spans, parts.count - first), source, 0);
      if (sent < 0) return sent;
      total += sent;
    }
    return total;
  }

  #sendSpans(
    parts: IoVector,
    first: number,
    count: number,
    source: Endpoint | undefined,
    segmentBytes: number,
  ): number {
    this.#message.vector(parts, first, count);
    this.#message.control(source, segmentBytes);
    const sent = libc.sendmsg(this.#fd, this.#message.address(), MSG_DONTWAIT);
    return sent < 0 ? -errno() : sent;
  }

  /** Closes the socket. */
  close(): void {
    libc.close(this.#fd);
    this.#message.free();
  }
}
