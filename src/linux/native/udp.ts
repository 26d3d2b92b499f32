import { WeaveError } from "#src/errors.js";
import { Errno, errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { familyLayout } from "#src/linux/native/sockaddr.js";
import { type BindOptions, bindSocket, type SetOption, SOL_SOCKET } from "#src/linux/native/socket.js";
import { type Endpoint, endpointText } from "#src/net/endpoint.js";

// linux/socket.h, linux/in.h, linux/udp.h
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_REUSEPORT = 15;
/** Always set "don't fragment", but never trust ICMP: sizes are proven by our own probes (IP_MTU_DISCOVER, ip(7)). */
const PMTUDISC_PROBE = 3;
export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;
export const MSG_DONTWAIT = 0x40;

/** For received datagrams: 8 MB hold some 10 ms at 6 Gbit/s, longer than the scheduler makes a thread wait. */
const RECEIVE_BUFFER_BYTES = 8 << 20;
/**
 * For datagrams that wait to leave for one peer; the kernel doubles it. A line of 1 Mbit/s sends that in 8 s: sooner than a
 * path counts as lost, so that a full line is slow and not dead.
 */
const PEER_BUFFER_BYTES = 512 << 10;
/** For datagrams that wait to leave for all peers, where they must share a socket. */
const SEND_BUFFER_BYTES = 8 << 20;
/** For small packets, and several sockets. */
const SHARED_BUFFER_BYTES = 1 << 20;

/** The kernel takes at most this much in one segmented send (UDP_MAX_SEGMENTS, and what an IPv4 packet
 * of 65,535 bytes leaves). */
export const MAX_SEGMENTS = 64;
export const MAX_SEND_BYTES = 65_507;

/** What this kernel does for UDP sockets. */
export interface UdpOffloads {
  /** One call sends many datagrams (UDP_SEGMENT, Linux 4.18). */
  readonly segment: boolean;
  /** One call receives many (UDP_GRO, Linux 5.0). */
  readonly gro: boolean;
}

/** Bound sockets for frames, and what the kernel does for them. */
export interface FrameSockets {
  readonly fds: readonly number[];
  readonly offloads: UdpOffloads;
  /** Where {@link openPeerSocket} can open more; undefined: the kernel cannot keep them from receiving (before 4.5). */
  readonly address: Endpoint | undefined;
}

/**
 * Opens bound, non-blocking UDP sockets for frames: `count` of them on one address. A datagram goes to the socket that its
 * lane names, by a filter in the kernel (SO_ATTACH_REUSEPORT_CBPF, socket(7)).
 *
 * @param laneAt offset in a datagram of the byte whose upper half is the lane
 * @param allowed offloads that may be used
 * @throws WEAVE_PORT_IN_USE, WEAVE_NATIVE
 */
export function openFrameSockets(at: Endpoint, count: number, laneAt: number, allowed: UdpOffloads): FrameSockets {
  const fds: number[] = [];
  let [segment, gro] = [allowed.segment, allowed.gro];
  // First without SO_REUSEPORT: with it a second router would share the port with the first, and neither would notice.
  libc.close(bindUdp(at, { before: () => {} }));
  try {
    for (let i = 0; i < count; i++) {
      fds.push(
        bindUdp(at, {
          before: (option) => option(SOL_SOCKET, SO_REUSEPORT, 1),
          after: (option) => {
            option(SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
            option(SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES);
            neverFragment(option, at);
            // Zero is the value that sends each datagram as it is; an old kernel does not know the option.
            segment &&= option(SOL_UDP, UDP_SEGMENT, 0);
            gro &&= option(SOL_UDP, UDP_GRO, 1);
          },
        }),
      );
    }
    const refused = steerByLane(fds[0], count, laneAt);
    if (refused !== 0 && count > 1) {
      throw new WeaveError("WEAVE_NATIVE", `cannot share datagrams among ${count} sockets: ${errnoName(refused)}`, {
        next: "Launch with --datapath-threads=1.",
      });
    }
    return { fds, offloads: { segment, gro }, address: refused === 0 ? at : undefined };
  } catch (error) {
    for (const fd of fds) libc.close(fd);
    throw error;
  }
}

/**
 * Opens a socket to send to one peer from the address of {@link openFrameSockets}, whose sockets must be open: datagrams that
 * wait for a slow line then take no room from other peers. It receives nothing.
 *
 * @param gro as for the others: the kernel decides by any socket of the address whether to join, before it runs the filter
 * @throws WEAVE_NATIVE, for instance when there are too many open files
 */
export function openPeerSocket(at: Endpoint, gro: boolean): number {
  return bindUdp(at, {
    before: (option) => option(SOL_SOCKET, SO_REUSEPORT, 1),
    after: (option) => {
      option(SOL_SOCKET, SO_SNDBUFFORCE, PEER_BUFFER_BYTES);
      neverFragment(option, at);
      if (gro) option(SOL_UDP, UDP_GRO, 1);
    },
  });
}

// linux/filter.h, linux/bpf_common.h: one instruction is u16 code, u8 jt, u8 jf, u32 k.
const BPF_LOAD_BYTE = 0x30;
const BPF_SHIFT_RIGHT = 0x74;
const BPF_MODULO = 0x94;
const BPF_RETURN_A = 0x16;
const SO_ATTACH_REUSEPORT_CBPF = 51;

/** Steers each datagram to the socket of number "lane modulo count". Returns 0, or errno on kernels before 4.5. */
function steerByLane(fd: number, count: number, laneAt: number): number {
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
  const code = result < 0 ? errno() : 0;
  memory.free();
  return code;
}

/**
 * Opens one of several UDP sockets of one address. The kernel assigns each client to one of them (SO_REUSEPORT, socket(7)),
 * so that a client that floods fills one queue alone.
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_NATIVE
 */
export function openSharedUdp(at: Endpoint): number {
  return bindUdp(at, {
    before: (option) => option(SOL_SOCKET, SO_REUSEPORT, 1),
    after: (option) => option(SOL_SOCKET, SO_RCVBUFFORCE, SHARED_BUFFER_BYTES),
  });
}

function neverFragment(option: SetOption, at: Endpoint): void {
  const [level, name] = familyLayout(at).mtuDiscover;
  option(level, name, PMTUDISC_PROBE);
}

function bindUdp(at: Endpoint, options: Pick<BindOptions, "before" | "after">): number {
  return bindSocket({ type: "UDP", at, ...options, refused: (code) => explainBind(at, code) });
}

function explainBind(at: Endpoint, code: number): WeaveError {
  const why = `cannot listen on UDP ${endpointText(at)}: ${errnoName(code)}`;
  if (code === Errno.EADDRINUSE) {
    return new WeaveError("WEAVE_PORT_IN_USE", `${why}: another process uses it`, {
      next: `Find it with 'ss -lunp sport = :${at.port}', or choose another port on all hosts with --port.`,
    });
  }
  if (code === Errno.EADDRNOTAVAIL) {
    return new WeaveError("WEAVE_NATIVE", `${why}: no such address on this host`, { next: "Check --host." });
  }
  return new WeaveError("WEAVE_NATIVE", why);
}
