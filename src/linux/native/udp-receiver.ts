import type { IoVector } from "#src/linux/native/io-vector.js";
import { errno, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { Message } from "#src/linux/native/message.js";
import type { MessageBatch } from "#src/linux/native/message-batch.js";
import { SOL_SOCKET } from "#src/linux/native/socket.js";
import { MSG_DONTWAIT, SOL_UDP, UDP_GRO } from "#src/linux/native/udp.js";
import type { Endpoint } from "#src/net/endpoint.js";

const SO_MEMINFO = 55;
/** Result of SO_MEMINFO: nine 32-bit numbers, the last is the number of drops (linux/sock_diag.h). */
const MEMINFO_BYTES = 36;
const SK_MEMINFO_DROPS = 8;

// Offsets in the scratch memory.
const MEMINFO_AT = 0;
const LENGTH_AT = 48;
const OPTION_AT = 56;

/** The receiving side of a UDP socket: one call receives up to 64 KB of joined datagrams (GRO), or many separate datagrams. */
export class UdpReceiver {
  readonly #fd: number;
  readonly #message = new Message();
  readonly #scratch = new Memory(64);
  /** Size of the datagrams of the last {@link receive}; only its last datagram may be shorter. */
  segmentBytes = 0;

  /** @param fd a socket of udp.ts */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Receives datagrams of one sender into the spans of `parts`. @returns the number of bytes, or minus errno */
  receive(parts: IoVector): number {
    const message = this.#message;
    message.vector(parts, 0, parts.count);
    message.prepareReceive();
    const count = libc.recvmsg(this.#fd, message.address(), MSG_DONTWAIT);
    if (count < 0) return -errno();
    // No other control message is requested.
    const segment = message.received(SOL_UDP, UDP_GRO);
    this.segmentBytes = segment > 0 && segment <= count ? segment : count;
    return count;
  }

  /** The id of the sender's endpoint of the last {@link receive}. */
  get sourceId(): number {
    return this.#message.sourceId;
  }

  /** The sender's endpoint of the last {@link receive}; undefined for an unknown address family. */
  get source(): Endpoint | undefined {
    return this.#message.source;
  }

  /** Receives separate datagrams into the spans of `batch`. @returns the number of datagrams, or minus errno */
  receiveMany(batch: MessageBatch): number {
    const count = libc.recvmmsg(this.#fd, batch.address(), batch.count, MSG_DONTWAIT, 0);
    return count < 0 ? -errno() : count;
  }

  /** Whether the kernel may join datagrams (UDP_GRO). */
  set gro(on: boolean) {
    this.#scratch.view.setInt32(OPTION_AT, on ? 1 : 0, true);
    libc.setsockopt(this.#fd, SOL_UDP, UDP_GRO, this.#scratch.at(OPTION_AT, 4), 4);
  }

  /** Number of datagrams that the kernel dropped because the queue was full, since the socket was made (SO_MEMINFO, Linux 4.12). */
  dropped(): number {
    const scratch = this.#scratch;
    scratch.view.setUint32(LENGTH_AT, MEMINFO_BYTES, true);
    const [info, length] = [scratch.at(MEMINFO_AT, MEMINFO_BYTES), scratch.at(LENGTH_AT, 4)];
    const result = libc.getsockopt(this.#fd, SOL_SOCKET, SO_MEMINFO, info, length);
    return result < 0 ? 0 : scratch.view.getUint32(MEMINFO_AT + SK_MEMINFO_DROPS * 4, true);
  }
}
