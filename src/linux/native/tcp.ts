import { WeaveError } from "#src/errors.js";
import { Errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { bindSocket, SOL_SOCKET } from "#src/linux/native/socket.js";
import { type Endpoint, endpointText, SMALLEST_SEGMENT } from "#src/net/endpoint.js";

// linux/socket.h, linux/in.h, linux/tcp.h
const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const TCP_MAXSEG = 2;
const TCP_INFO = 11;
/** struct tcp_info, up to the last field that is read. */
const TCP_INFO_BYTES = 152;
const AT_LAST_DATA_RECEIVED = 52;
const AT_LAST_ACK_RECEIVED = 56;
/** Microseconds; since Linux 4.6. The kernel's window is `net.ipv4.tcp_min_rtt_wlen`, 5 minutes. */
const AT_MIN_RTT = 148;
/** The field's value before the first measurement. */
const UNMEASURED = 0xffffffff;

/**
 * Makes a bound TCP socket, for `listen({ fd })`. Accepted connections use segments that every path carries, in both directions:
 * a path that silently drops larger packets does not stall them.
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_CONNECTION, WEAVE_NATIVE
 */
export function bindTcp(at: Endpoint): number {
  return bindSocket({
    type: "TCP",
    at,
    before: (option) => {
      option(SOL_SOCKET, SO_REUSEADDR, 1);
      option(IPPROTO_TCP, TCP_MAXSEG, SMALLEST_SEGMENT);
    },
    refused: (code) => cannotListen(at, errnoName(code), code === Errno.EADDRINUSE),
  });
}

const scratch = new Memory(TCP_INFO_BYTES + 4);

/**
 * Returns the milliseconds since the other end's kernel last sent data or an acknowledgement on a connection (TCP_INFO, tcp(7)).
 * A kernel acknowledges although its program sends nothing.
 *
 * @returns undefined when `fd` is no TCP socket
 */
export function tcpQuietMs(fd: number): number | undefined {
  if (readTcpInfo(fd) <= AT_LAST_ACK_RECEIVED) return undefined;
  const ago = (offset: number) => scratch.view.getUint32(offset, true);
  return Math.min(ago(AT_LAST_DATA_RECEIVED), ago(AT_LAST_ACK_RECEIVED));
}

/**
 * Returns the shortest round trip of a connection in the last minutes, in milliseconds. Delayed acknowledgements make the mean of a
 * connection that carries little useless.
 *
 * @returns undefined when `fd` is no TCP socket, or nothing was acknowledged yet
 */
export function tcpRoundTripMs(fd: number): number | undefined {
  if (readTcpInfo(fd) <= AT_MIN_RTT) return undefined;
  const microseconds = scratch.view.getUint32(AT_MIN_RTT, true);
  return microseconds === UNMEASURED ? undefined : microseconds / 1_000;
}

/** Reads what the kernel knows of a connection to {@link scratch}. @returns the bytes that it wrote; 0 for none */
function readTcpInfo(fd: number): number {
  const at = scratch.at(0, TCP_INFO_BYTES);
  const lengthAt = scratch.at(TCP_INFO_BYTES, 4);
  scratch.view.setUint32(TCP_INFO_BYTES, TCP_INFO_BYTES, true);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, at, lengthAt) < 0) return 0;
  return scratch.view.getUint32(TCP_INFO_BYTES, true);
}

/** Makes the error for a TCP port that cannot be listened on. @param inUse whether another process uses the port */
export function cannotListen(at: Endpoint, why: string, inUse: boolean, cause?: Error): WeaveError {
  const where = `cannot listen on TCP ${endpointText(at)}`;
  const because = cause === undefined ? {} : { cause };
  if (!inUse) return new WeaveError("WEAVE_CONNECTION", `${where}: ${why}`, because);
  return new WeaveError("WEAVE_PORT_IN_USE", `${where}: another process uses it`, {
    ...because,
    next: `Find it with 'ss -ltnp sport = :${at.port}', or choose another port on all hosts with --port.`,
  });
}
