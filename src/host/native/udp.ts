import { WeaveError } from "#src/errors.js";
import { Errno, errno, errnoName, libc } from "#src/host/native/libc.js";
import { Memory } from "#src/host/native/memory.js";

// linux/socket.h, linux/in.h, linux/udp.h
const AF_INET = 2;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_REUSEPORT = 15;
const SOL_IP = 0;
const IP_MTU_DISCOVER = 10;
/** Always set "don't fragment", but never trust ICMP: sizes are proven by our own probes (ip(7)). */
const IP_PMTUDISC_PROBE = 3;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const MSG_DONTWAIT = 0x40;

/** Kernel buffer in each direction: 8 MB hold some 10 ms at 6 Gbit/s, longer than the scheduler keeps us waiting. */
const SOCKET_BUFFER_BYTES = 8 << 20;
/** Small packets, and several sockets. */
const SHARED_BUFFER_BYTES = 1 << 20;

/** The kernel takes at most this much in one segmented send (UDP_MAX_SEGMENTS, and an IP packet of 64 KB). */
export const MAX_SEGMENTS = 64;
export const MAX_SEND_BYTES = 65_000;

/** An IPv4 address and port as one number, address × 65536 + port: a key for maps and comparisons. */
export type Endpoint = number;

/** @param host dotted quad, already validated */
export function endpoint(host: string, port: number): Endpoint {
  const [a, b, c, d] = host.split(".").map(Number);
  return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) * 65536 + port;
}

export function endpointText(value: Endpoint): string {
  const address = Math.floor(value / 65536);
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}:${value % 65536}`;
}

// Places in the scratch memory of a socket (struct msghdr: 56 bytes on 64-bit Linux).
const NAME_AT = 0;
const MSG_AT = 64;
const CONTROL_AT = 128;
const CONTROL_BYTES = 64;
/** struct cmsghdr (16 bytes) and a 16-bit size, without and with padding. */
const CMSG_UDP_SEGMENT_LENGTH = 18;
const CMSG_UDP_SEGMENT_BYTES = 24;

/** A list of spans for one scattered system call (struct iovec), in the memory that the spans are in. */
export class IoVector {
  readonly memory: Memory;
  readonly #at: number;
  readonly #capacity: number;
  count = 0;
  bytes = 0;

  constructor(memory: Memory, at: number, capacity: number) {
    memory.at(at, capacity * 16);
    this.memory = memory;
    this.#at = at;
    this.#capacity = capacity;
  }

  clear(): void {
    this.count = 0;
    this.bytes = 0;
  }

  push(offset: number, length: number): void {
    if (this.count >= this.#capacity)
      throw new WeaveError("WEAVE_BOUNDS", `more than ${this.#capacity} spans in one call`);
    const entry = this.#at + this.count * 16;
    this.memory.pointer(entry, offset, length);
    this.memory.view.setUint32(entry + 8, length, true);
    this.memory.view.setUint32(entry + 12, 0, true);
    this.count++;
    this.bytes += length;
  }

  address(): number {
    return this.memory.at(this.#at, this.count * 16);
  }
}

/** A UDP socket with segmentation offload both ways: one call carries up to 64 KB of equal datagrams. */
export class UdpSocket {
  readonly fd: number;
  readonly #scratch = new Memory(256);
  /** Of the last receive: the size of each datagram but the last, and where they came from. */
  segmentBytes = 0;
  from: Endpoint = 0;

  /** @param fd an open socket, of {@link openUdp} */
  constructor(fd: number) {
    this.fd = fd;
    const { view } = this.#scratch;
    view.setUint16(NAME_AT, AF_INET, true);
    this.#scratch.pointer(MSG_AT, NAME_AT, 16);
    this.#scratch.pointer(MSG_AT + 32, CONTROL_AT, CONTROL_BYTES);
  }

  /**
   * Sends the spans of `parts` as datagrams of `segmentBytes` each, the last one perhaps shorter.
   * Returns the count of bytes, or minus errno.
   */
  send(parts: IoVector, segmentBytes: number, to: Endpoint): number {
    const { view } = this.#scratch;
    const address = Math.floor(to / 65536);
    view.setUint16(NAME_AT + 2, to % 65536, false);
    view.setUint32(NAME_AT + 4, address, false);
    view.setUint32(MSG_AT + 8, 16, true);
    this.#vector(parts);
    if (parts.bytes > segmentBytes) {
      view.setUint32(CONTROL_AT, CMSG_UDP_SEGMENT_LENGTH, true);
      view.setUint32(CONTROL_AT + 4, 0, true);
      view.setInt32(CONTROL_AT + 8, SOL_UDP, true);
      view.setInt32(CONTROL_AT + 12, UDP_SEGMENT, true);
      view.setUint16(CONTROL_AT + 16, segmentBytes, true);
      view.setUint32(MSG_AT + 40, CMSG_UDP_SEGMENT_BYTES, true);
    } else view.setUint32(MSG_AT + 40, 0, true);
    const sent = libc.sendmsg(this.fd, this.#scratch.at(MSG_AT, 56), MSG_DONTWAIT);
    return sent < 0 ? -errno() : sent;
  }

  /** Receives datagrams of one sender into the spans of `parts`. Returns the count of bytes, or minus errno. */
  receive(parts: IoVector): number {
    const { view } = this.#scratch;
    view.setUint32(MSG_AT + 8, 16, true);
    view.setUint32(MSG_AT + 40, CONTROL_BYTES, true);
    this.#vector(parts);
    const count = libc.recvmsg(this.fd, this.#scratch.at(MSG_AT, 56), MSG_DONTWAIT);
    if (count < 0) return -errno();
    this.segmentBytes = count;
    const groControl = view.getUint32(MSG_AT + 40, true) >= 20 && view.getInt32(CONTROL_AT + 8, true) === SOL_UDP;
    if (groControl && view.getInt32(CONTROL_AT + 12, true) === UDP_GRO) {
      const size = view.getInt32(CONTROL_AT + 16, true);
      if (size > 0 && size <= count) this.segmentBytes = size;
    }
    this.from = view.getUint32(NAME_AT + 4, false) * 65536 + view.getUint16(NAME_AT + 2, false);
    return count;
  }

  #vector(parts: IoVector): void {
    const { view } = this.#scratch;
    const address = parts.address();
    view.setUint32(MSG_AT + 16, address >>> 0, true);
    view.setUint32(MSG_AT + 20, Math.floor(address / 0x1_0000_0000), true);
    view.setUint32(MSG_AT + 24, parts.count, true);
  }
}

/** Sets an integer option of a socket; what the kernel does not take is left as it is. */
type SetOption = (level: number, name: number, value: number) => void;

/**
 * Opens a bound, non-blocking UDP socket for frames.
 *
 * @param host dotted quad; `0.0.0.0` for all addresses
 * @throws WEAVE_PORT_IN_USE, WEAVE_NATIVE
 */
export function openUdp(host: string, port: number): number {
  return bindUdp(host, port, {
    after(option) {
      option(SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
      option(SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
      option(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
      option(SOL_UDP, UDP_GRO, 1);
    },
  });
}

/**
 * Opens one of several UDP sockets of one address. The kernel gives each client to one of them (SO_REUSEPORT, socket(7)),
 * so that one who floods fills only the queue of that one.
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_NATIVE
 */
export function openSharedUdp(host: string, port: number): number {
  return bindUdp(host, port, {
    before: (option) => option(SOL_SOCKET, SO_REUSEPORT, 1),
    after: (option) => option(SOL_SOCKET, SO_RCVBUFFORCE, SHARED_BUFFER_BYTES),
  });
}

function bindUdp(
  host: string,
  port: number,
  { before, after }: { before?: (option: SetOption) => void; after?: (option: SetOption) => void },
): number {
  const fd = libc.socket(AF_INET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make a UDP socket: ${errnoName(errno())}`);
  const memory = new Memory(64);
  const option: SetOption = (level, name, value) => {
    memory.view.setInt32(32, value, true);
    libc.setsockopt(fd, level, name, memory.at(32, 4), 4);
  };
  try {
    before?.(option);
    memory.view.setUint16(0, AF_INET, true);
    memory.view.setUint16(2, port, false);
    memory.view.setUint32(4, Math.floor(endpoint(host, 0) / 65536), false);
    if (libc.bind(fd, memory.at(0, 16), 16) < 0) throw explainBind(host, port, errno());
    after?.(option);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  } finally {
    memory.free();
  }
}

function explainBind(host: string, port: number, code: number): WeaveError {
  const why = `cannot listen on UDP ${host}:${port}: ${errnoName(code)}`;
  if (code === Errno.EADDRINUSE) {
    return new WeaveError("WEAVE_PORT_IN_USE", `${why}: another process uses it`, {
      next: `Find it with 'ss -lunp sport = :${port}', or choose another port on all hosts with --port.`,
    });
  }
  if (code === Errno.EADDRNOTAVAIL) {
    return new WeaveError("WEAVE_NATIVE", `${why}: no such address on this host`, { next: "Check --host." });
  }
  return new WeaveError("WEAVE_NATIVE", why);
}
