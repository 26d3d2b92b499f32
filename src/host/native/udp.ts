import { WeaveError } from "#src/errors.js";
import type { Endpoint } from "#src/host/native/endpoint.js";
import type { IoVector } from "#src/host/native/io-vector.js";
import { Errno, errno, errnoName, libc } from "#src/host/native/libc.js";
import { Memory } from "#src/host/native/memory.js";
import type { MessageBatch } from "#src/host/native/message-batch.js";
import { AF_INET, type BindOptions, bindSocket, SOL_SOCKET } from "#src/host/native/socket.js";

// linux/socket.h, linux/in.h, linux/udp.h
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_REUSEPORT = 15;
const SO_MEMINFO = 55;
/** linux/sock_diag.h: nine 32-bit numbers, the last is of drops. */
const MEMINFO_BYTES = 36;
const SK_MEMINFO_DROPS = 8;
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

/** The kernel takes at most this much in one segmented send (UDP_MAX_SEGMENTS, and what an IPv4 packet
 * of 65,535 bytes leaves). */
export const MAX_SEGMENTS = 64;
export const MAX_SEND_BYTES = 65_507;

// Places in the scratch memory of a socket (struct msghdr: 56 bytes on 64-bit Linux).
const NAME_AT = 0;
const MSG_AT = 64;
const CONTROL_AT = 128;
const CONTROL_BYTES = 64;
const MEMINFO_AT = 192;
const MEMINFO_LENGTH_AT = 240;
/** struct cmsghdr (16 bytes) and a 16-bit size, without and with padding. */
const CMSG_HEADER = 16;
const CMSG_UDP_SEGMENT_LENGTH = 18;
const CMSG_UDP_SEGMENT_BYTES = 24;
/** A device without checksum offload refuses segments with EIO; then one call carries one datagram for so many sends. */
const SENDS_BEFORE_RETRY = 10_000;

/** What this kernel does for UDP sockets. */
export interface UdpOffloads {
  /** One call sends many datagrams (UDP_SEGMENT, Linux 4.18). */
  readonly segment: boolean;
  /** One call receives many (UDP_GRO, Linux 5.0). */
  readonly gro: boolean;
}

/** A UDP socket with segmentation offload both ways, where there is such: one call carries up to 64 KB of equal datagrams. */
export class UdpSocket {
  readonly fd: number;
  readonly #scratch = new Memory(256);
  readonly #segment: boolean;
  #singly = 0;
  #to: Endpoint = -1;
  /** Of the last receive: the size of each datagram but the last, and where they came from. */
  segmentBytes = 0;
  from: Endpoint = 0;

  /** @param fd an open socket, of {@link openUdp} */
  constructor(fd: number, offloads: UdpOffloads) {
    this.fd = fd;
    this.#segment = offloads.segment;
    const { view } = this.#scratch;
    view.setUint16(NAME_AT, AF_INET, true);
    this.#scratch.pointer(MSG_AT, NAME_AT, 16);
    this.#scratch.pointer(MSG_AT + 32, CONTROL_AT, CONTROL_BYTES);
  }

  /**
   * Sends the spans of `parts` as datagrams of `segmentBytes` each, the last one perhaps shorter.
   * Returns the count of bytes, or minus errno.
   *
   * @param spans how many spans make one datagram
   */
  send(parts: IoVector, segmentBytes: number, spans: number, to: Endpoint): number {
    const { view } = this.#scratch;
    if (to !== this.#to) {
      this.#to = to;
      view.setUint16(NAME_AT + 2, to % 65536, false);
      view.setUint32(NAME_AT + 4, Math.floor(to / 65536), false);
    }
    view.setUint32(MSG_AT + 8, 16, true);
    if (parts.bytes <= segmentBytes) return this.#sendSpans(parts, 0, parts.count, 0);
    if (this.#singly > 0) this.#singly--;
    else if (this.#segment) {
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
    const { view } = this.#scratch;
    this.#vector(parts, first, count);
    if (segmentBytes > 0) {
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
    this.#to = -1;
    view.setUint32(MSG_AT + 8, 16, true);
    view.setUint32(MSG_AT + 40, CONTROL_BYTES, true);
    this.#vector(parts, 0, parts.count);
    const count = libc.recvmsg(this.fd, this.#scratch.at(MSG_AT, 56), MSG_DONTWAIT);
    if (count < 0) return -errno();
    this.segmentBytes = count;
    this.#control(Math.min(view.getUint32(MSG_AT + 40, true), CONTROL_BYTES), count);
    this.from = view.getUint32(NAME_AT + 4, false) * 65536 + view.getUint16(NAME_AT + 2, false);
    return count;
  }

  /** Receives datagrams, each by itself, into the places of `batch`. Returns how many, or minus errno. */
  receiveMany(batch: MessageBatch): number {
    const count = libc.recvmmsg(this.fd, batch.address(), batch.count, MSG_DONTWAIT, 0);
    return count < 0 ? -errno() : count;
  }

  /** Whether the kernel may hand over several datagrams as one. */
  set gro(on: boolean) {
    this.#scratch.view.setInt32(CONTROL_AT, on ? 1 : 0, true);
    libc.setsockopt(this.fd, SOL_UDP, UDP_GRO, this.#scratch.at(CONTROL_AT, 4), 4);
  }

  /** Reads the control messages (cmsg(3)); the only one that is asked for is the size of joined datagrams. */
  #control(bytes: number, count: number): void {
    const { view } = this.#scratch;
    if (bytes < CMSG_HEADER + 4) return;
    const value = view.getInt32(CONTROL_AT + CMSG_HEADER, true);
    const gro = view.getInt32(CONTROL_AT + 8, true) === SOL_UDP && view.getInt32(CONTROL_AT + 12, true) === UDP_GRO;
    if (gro && value > 0 && value <= count) this.segmentBytes = value;
  }

  /** Times that the kernel threw away what came because the queue was full, since the beginning (SO_MEMINFO, Linux 4.12). */
  dropped(): number {
    const { view } = this.#scratch;
    view.setUint32(MEMINFO_LENGTH_AT, MEMINFO_BYTES, true);
    const length = this.#scratch.at(MEMINFO_LENGTH_AT, 4);
    const result = libc.getsockopt(
      this.fd,
      SOL_SOCKET,
      SO_MEMINFO,
      this.#scratch.at(MEMINFO_AT, MEMINFO_BYTES),
      length,
    );
    return result < 0 ? 0 : view.getUint32(MEMINFO_AT + SK_MEMINFO_DROPS * 4, true);
  }

  #vector(parts: IoVector, first: number, count: number): void {
    const { view } = this.#scratch;
    const address = parts.address(first);
    view.setUint32(MSG_AT + 16, address >>> 0, true);
    view.setUint32(MSG_AT + 20, Math.floor(address / 0x1_0000_0000), true);
    view.setUint32(MSG_AT + 24, count, true);
  }
}

/** Bound sockets for frames, and what the kernel does for them. */
export interface FrameSockets {
  readonly fds: readonly number[];
  readonly offloads: UdpOffloads;
}

/**
 * Opens bound, non-blocking UDP sockets for frames: `count` of them on one address. A datagram goes to the socket that its
 * lane names, by a filter in the kernel (SO_ATTACH_REUSEPORT_CBPF, socket(7)).
 *
 * @param host dotted quad; `0.0.0.0` for all addresses
 * @param laneAt where in a datagram the byte is whose upper half is the lane
 * @param allowed offloads that may be used
 * @throws WEAVE_PORT_IN_USE, WEAVE_NATIVE
 */
export function openFrameSockets(
  host: string,
  port: number,
  count: number,
  laneAt: number,
  allowed: UdpOffloads,
): FrameSockets {
  const fds: number[] = [];
  let [segment, gro] = [allowed.segment, allowed.gro];
  try {
    for (let i = 0; i < count; i++) {
      fds.push(
        bindUdp(host, port, {
          before: (option) => count > 1 && option(SOL_SOCKET, SO_REUSEPORT, 1),
          after: (option) => {
            option(SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
            option(SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
            option(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
            // Zero is the value that sends each datagram as it is; an old kernel does not know the option.
            segment &&= option(SOL_UDP, UDP_SEGMENT, 0);
            gro &&= option(SOL_UDP, UDP_GRO, 1);
          },
        }),
      );
    }
    if (count > 1) steerByLane(fds[0], count, laneAt);
    return { fds, offloads: { segment, gro } };
  } catch (error) {
    for (const fd of fds) libc.close(fd);
    throw error;
  }
}

// linux/filter.h, linux/bpf_common.h: one instruction is u16 code, u8 jt, u8 jf, u32 k.
const BPF_LOAD_BYTE = 0x30;
const BPF_SHIFT_RIGHT = 0x74;
const BPF_MODULO = 0x94;
const BPF_RETURN_A = 0x16;
const SO_ATTACH_REUSEPORT_CBPF = 51;

/** Gives each datagram to the socket of number "lane modulo count". @throws WEAVE_NATIVE on kernels before 4.5 */
function steerByLane(fd: number, count: number, laneAt: number): void {
  const program = [
    [BPF_LOAD_BYTE, laneAt],
    [BPF_SHIFT_RIGHT, 4],
    [BPF_MODULO, count],
    [BPF_RETURN_A, 0],
  ];
  const memory = new Memory(64);
  program.forEach(([code, k], i) => {
    memory.view.setUint16(16 + i * 8, code, true);
    memory.view.setUint32(16 + i * 8 + 4, k, true);
  });
  // struct sock_fprog: u16 count, padding, pointer.
  memory.view.setUint16(0, program.length, true);
  memory.pointer(8, 16, program.length * 8);
  const result = libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, memory.at(0, 16), 16);
  const code = errno();
  memory.free();
  if (result < 0) {
    throw new WeaveError("WEAVE_NATIVE", `cannot share datagrams among ${count} sockets: ${errnoName(code)}`, {
      next: "Launch with --datapath-threads=1.",
    });
  }
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

function bindUdp(host: string, port: number, options: Pick<Required<BindOptions>, "before" | "after">): number {
  return bindSocket({ type: "UDP", host, port, ...options, refused: (code) => explainBind(host, port, code) });
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
