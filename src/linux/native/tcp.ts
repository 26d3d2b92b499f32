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
const TCP_INFO_BYTES = 60;
const AT_LAST_DATA_RECEIVED = 52;
const AT_LAST_ACK_RECEIVED = 56;

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

const scratch = new Memory(64);

/**
 * Returns the milliseconds since the other end's kernel last sent data or an acknowledgement on a connection (TCP_INFO, tcp(7)).
 * A kernel acknowledges although its program sends nothing.
 *
 * @returns undefined when `fd` is no TCP socket
 */
export function tcpQuietMs(fd: number): number | undefined {
  const at = scratch.at(0, TCP_INFO_BYTES);
  const lengthAt = scratch.at(TCP_INFO_BYTES, 4);
  scratch.view.setUint32(TCP_INFO_BYTES, TCP_INFO_BYTES, true);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, at, lengthAt) < 0) return undefined;
  if (scratch.view.getUint32(TCP_INFO_BYTES, true) < TCP_INFO_BYTES) return undefined;
  const ago = (offset: number) => scratch.view.getUint32(offset, true);
  return Math.min(ago(AT_LAST_DATA_RECEIVED), ago(AT_LAST_ACK_RECEIVED));
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
