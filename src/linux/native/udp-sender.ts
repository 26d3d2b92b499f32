import type { Endpoint } from "#src/linux/native/endpoint.js";
import type { IoVector } from "#src/linux/native/io-vector.js";
import { Errno, errno, libc } from "#src/linux/native/libc.js";
import { Message } from "#src/linux/native/message.js";
import { AF_INET } from "#src/linux/native/socket.js";
import { MSG_DONTWAIT } from "#src/linux/native/udp.js";

/** A device without checksum offload refuses segments with EIO; then one call carries one datagram for so many sends. */
const SENDS_BEFORE_RETRY = 10_000;

/** The sending side of a UDP socket, with segmentation offload where there is such: one call carries up to 64 KB. */
export class UdpSender {
  readonly #fd: number;
  readonly #message = new Message();
  readonly #segment: boolean;
  #singly = 0;
  #to: Endpoint = -1;
  #from: Endpoint = 0;

  /**
   * @param fd a socket of udp.ts
   * @param segment the kernel has UDP_SEGMENT
   */
  constructor(fd: number, segment: boolean) {
    this.#fd = fd;
    this.#segment = segment;
    this.#message.name.setUint16(0, AF_INET, true);
  }

  /**
   * Sends the spans of `parts` as datagrams of `segmentBytes` each, the last one perhaps shorter.
   * Returns the count of bytes, or minus errno.
   *
   * @param spans how many spans make one datagram
   * @param from the address of this host that they leave from, whatever its port; 0: as the kernel chooses. When this
   *   host has no such address, kernels answer ENETUNREACH, or EINVAL
   * @param batches the kernel may cut one call's bytes into datagrams; else each datagram is a call
   */
  send(parts: IoVector, segmentBytes: number, spans: number, to: Endpoint, from: Endpoint = 0, batches = true): number {
    this.#from = from;
    if (to !== this.#to) {
      this.#to = to;
      this.#message.name.setUint16(2, to % 65536, false);
      this.#message.name.setUint32(4, Math.floor(to / 65536), false);
    }
    if (parts.bytes <= segmentBytes) return this.#sendSpans(parts, 0, parts.count, 0);
    if (this.#singly > 0) this.#singly--;
    else if (this.#segment && batches) {
      const sent = this.#sendSpans(parts, 0, parts.count, segmentBytes);
      if (sent !== -Errno.EIO) return sent;
      this.#singly = SENDS_BEFORE_RETRY;
    }
    let total = 0;
    for (let first = 0; first < parts.count; first += spans) {
      const sent = this.#sendSpans(parts, first, Math.min(spans, parts.count - first), 0);
      if (sent < 0) return sent;
      total += sent;
    }
    return total;
  }

  #sendSpans(parts: IoVector, first: number, count: number, segmentBytes: number): number {
    this.#message.vector(parts, first, count);
    this.#message.control(this.#from, segmentBytes);
    const sent = libc.sendmsg(this.#fd, this.#message.address(), MSG_DONTWAIT);
    return sent < 0 ? -errno() : sent;
  }

  /** Closes the socket. */
  close(): void {
    libc.close(this.#fd);
    this.#message.free();
  }
}
