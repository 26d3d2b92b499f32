import type { IoVector } from "#src/linux/native/io-vector.js";
import { Errno, errno, libc } from "#src/linux/native/libc.js";
import { Message } from "#src/linux/native/message.js";
import { MSG_DONTWAIT } from "#src/linux/native/udp.js";
import type { Endpoint } from "#src/net/endpoint.js";

/** A device without checksum offload refuses segments with EIO; then one call carries one datagram for so many sends. */
const SENDS_BEFORE_RETRY = 10_000;

/** How datagrams reach a peer. */
export interface SendPath {
  readonly address: Endpoint;
  /** The address of this host that they leave from, whatever its port; undefined: the kernel chooses. */
  readonly source: Endpoint | undefined;
  /** The kernel may cut one call's bytes into datagrams; else each datagram is a call. */
  readonly batches: boolean;
}

/** The sending side of a UDP socket, with segmentation offload where there is such: one call carries up to 64 KB. */
export class UdpSender {
  readonly #fd: number;
  readonly #message = new Message();
  readonly #segment: boolean;
  #singly = 0;
  /** As it stands in the message. */
  #to: Endpoint | undefined;

  /**
   * @param fd a socket of udp.ts
   * @param segment the kernel has UDP_SEGMENT
   */
  constructor(fd: number, segment: boolean) {
    this.#fd = fd;
    this.#segment = segment;
  }

  /**
   * Sends the spans of `parts` as datagrams of `segmentBytes` each, the last one perhaps shorter.
   *
   * @param spans how many spans make one datagram
   * @returns the count of bytes, or minus errno: ENETUNREACH or EINVAL, by kernel, where this host does not have
   *   the address of `path.source`
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
