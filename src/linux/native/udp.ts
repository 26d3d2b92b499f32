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
/** Value of IP_MTU_DISCOVER (ip(7)): set "don't fragment", and ignore the MTU in ICMP messages. Carriers probe the path size. */
const PMTUDISC_PROBE = 3;
export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;
export const MSG_DONTWAIT = 0x40;

/** Receive buffer of a frame socket: 8 MB hold some 10 ms at 6 Gbit/s, longer than the scheduler delays a thread. */
const RECEIVE_BUFFER_BYTES = 8 << 20;
/**
 * Send buffer of a peer's own socket; the kernel doubles it. A line of 1 Mbit/s sends it in 8 s, before the path counts as lost:
 * a full line is slow, and not dead.
 */
const PEER_BUFFER_BYTES = 512 << 10;
/** Send buffer of a socket that all peers share. */
const SEND_BUFFER_BYTES = 8 << 20;
/** Receive buffer of each socket of {@link openSharedUdp}, for small packets. */
const SHARED_BUFFER_BYTES = 1 << 20;

/** Maximum number of datagrams of one segmented send (UDP_MAX_SEGMENTS). */
export const MAX_SEGMENTS = 64;
/** Maximum size of one send: the payload of an IPv4 packet of 65,535 bytes. */
export const MAX_SEND_BYTES = 65_507;

/** Offloads of the kernel for UDP sockets. */
export interface UdpOffloads {
  /** One call sends many datagrams (UDP_SEGMENT, Linux 4.18). */
  readonly segment: boolean;
  /** One call receives many joined datagrams (UDP_GRO, Linux 5.0). */
  readonly gro: boolean;
}

/** Bound sockets for frames, and their offloads. */
export interface FrameSockets {
  readonly fds: readonly number[];
  readonly offloads: UdpOffloads;
  /** The address for {@link openPeerSocket}; undefined where the kernel would deliver datagrams to such sockets (before 4.5). */
  readonly address: Endpoint | undefined;
}

/**
 * Opens `count` bound, non-blocking UDP sockets for frames on one address. A filter in the kernel selects the socket of a
 * datagram by its lane (SO_ATTACH_REUSEPORT_CBPF, socket(7)).
 *
 * @param laneAt offset in a datagram of the byte whose upper four bits are the lane
 * @param allowed the offloads that may be used
 * @throws WEAVE_PORT_IN_USE, WEAVE_NATIVE
 */
export function openFrameSockets(at: Endpoint, count: number, laneAt: number, allowed: UdpOffloads): FrameSockets {
  const fds: number[] = [];
  let [segment, gro] = [allowed.segment, allowed.gro];
  // A trial without SO_REUSEPORT: with it alone, a second router would share the port with the first one unnoticed.
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
            // Value 0 changes nothing; a kernel without the option rejects it.
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
 * Opens a socket that sends to one peer from the address of {@link openFrameSockets}, whose sockets must be open. Datagrams for a
 * slow line then take no buffer space from other peers. The socket receives nothing.
 *
 * @param gro the same as for the frame sockets: the kernel joins datagrams by the setting of any socket of the address
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

/** Attaches a filter that selects the socket with number "lane modulo count". @returns 0, or errno on kernels before 4.5 */
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
 * Opens one of several UDP sockets of one address. The kernel assigns each client to one socket (SO_REUSEPORT, socket(7)): a
 * client that floods fills only one queue.
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
  for (const [level, name] of familyLayout(at).mtuDiscover) option(level, name, PMTUDISC_PROBE);
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
