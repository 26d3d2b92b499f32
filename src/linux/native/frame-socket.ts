import { WeaveError } from "#src/errors.js";
import { onInput } from "#src/linux/native/input-signal.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { attachFilter, type ClassicFilter } from "#src/linux/native/packet-filter.js";
import { SOL_SOCKET } from "#src/linux/native/socket.js";

// linux/socket.h, linux/net.h
const AF_PACKET = 17;
/** SOCK_RAW, SOCK_NONBLOCK, SOCK_CLOEXEC. */
const RAW_SOCKET = 3 | 0x800 | 0x80000;
const SO_RCVBUF = 8;
/** Size of struct sockaddr_ll: family, protocol in network byte order, interface index, and fields for receivers. */
const SOCKADDR_BYTES = 20;
/** Longest frame: 64 KB of payload. */
const FRAME_BYTES = 14 + 65_535;
const FRAME_AT = 64;

/** A socket for Ethernet frames of one interface (packet(7)). */
export class FrameSocket {
  readonly #fd: number;
  readonly #memory = new Memory(FRAME_AT + FRAME_BYTES);
  #endInput: (() => void) | undefined;
  #closed = false;

  /**
   * @param ifindex index of the interface
   * @param ethertype of the frames that are received; 0: none, and the kernel then looks at no frame for this socket
   * @param buffer bytes of frames that wait to be read, with the kernel's own data; further frames are dropped
   * @throws WEAVE_NATIVE
   */
  constructor(
    ifindex: number,
    ethertype: number,
    { buffer, filter }: { buffer?: number; filter?: ClassicFilter } = {},
  ) {
    const { view } = this.#memory;
    // Protocol 0 until the filter is there: nothing is received before.
    this.#fd = libc.socket(AF_PACKET, RAW_SOCKET, 0);
    if (this.#fd < 0) {
      const code = errno();
      this.#memory.free();
      throw new WeaveError("WEAVE_NATIVE", `cannot make a packet socket: ${errnoName(code)}`);
    }
    try {
      if (filter !== undefined) attachFilter(this.#fd, filter);
      if (buffer !== undefined) {
        view.setInt32(32, buffer, true);
        libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUF, this.#memory.at(32, 4), 4);
      }
      view.setUint16(0, AF_PACKET, true);
      view.setUint16(2, ethertype, false);
      view.setInt32(4, ifindex, true);
      if (libc.bind(this.#fd, this.#memory.at(0, SOCKADDR_BYTES), SOCKADDR_BYTES) < 0)
        throw new WeaveError("WEAVE_NATIVE", `cannot bind a packet socket to an interface: ${errnoName(errno())}`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Sends a frame. @returns 0, or errno */
  send(frame: Uint8Array): number {
    if (this.#closed || frame.length > FRAME_BYTES) return errnoOfClosed;
    this.#memory.u8.set(frame, FRAME_AT);
    return libc.write(this.#fd, this.#memory.at(FRAME_AT, frame.length), frame.length) < 0 ? errno() : 0;
  }

  /** Reads a frame, as a copy; undefined when there is none. */
  receive(): Uint8Array | undefined {
    if (this.#closed) return undefined;
    const count = Number(libc.read(this.#fd, this.#memory.at(FRAME_AT, FRAME_BYTES), FRAME_BYTES));
    return count < 0 ? undefined : this.#memory.u8.slice(FRAME_AT, FRAME_AT + count);
  }

  /** Calls `ready` when there is input: see {@link onInput}. */
  onInput(ready: () => void): void {
    this.#endInput = onInput(this.#fd, ready);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endInput?.();
    libc.close(this.#fd);
    this.#memory.free();
  }
}

/** EBADF. */
const errnoOfClosed = 9;
