import { WeaveError } from "#src/errors.js";
import { endpoint } from "#src/host/native/endpoint.js";
import { Errno, errno, errnoName, libc } from "#src/host/native/libc.js";
import { Memory } from "#src/host/native/memory.js";

// linux/socket.h, linux/in.h, linux/tcp.h
const AF_INET = 2;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const TCP_MAXSEG = 2;

/**
 * What every IPv4 path carries (RFC 9293, section 3.7.1). Set on the listening socket, it bounds both directions of what is
 * accepted: a path that drops larger packets without a word cannot stall it.
 */
const SAFE_SEGMENT_BYTES = 536;

/**
 * Makes a bound TCP socket, for `listen({ fd })`.
 *
 * @param host dotted quad; `0.0.0.0` for all addresses
 * @throws WEAVE_PORT_IN_USE, WEAVE_NATIVE
 */
export function bindTcp(host: string, port: number): number {
  const where = `TCP ${host}:${port}`;
  const fd = libc.socket(AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make a TCP socket: ${errnoName(errno())}`);
  const memory = new Memory(64);
  const option = (level: number, name: number, value: number) => {
    memory.view.setInt32(32, value, true);
    libc.setsockopt(fd, level, name, memory.at(32, 4), 4);
  };
  try {
    option(SOL_SOCKET, SO_REUSEADDR, 1);
    option(IPPROTO_TCP, TCP_MAXSEG, SAFE_SEGMENT_BYTES);
    memory.view.setUint16(0, AF_INET, true);
    memory.view.setUint16(2, port, false);
    memory.view.setUint32(4, Math.floor(endpoint(host, 0) / 65536), false);
    if (libc.bind(fd, memory.at(0, 16), 16) === 0) return fd;
    const code = errno();
    libc.close(fd);
    throw code === Errno.EADDRINUSE
      ? new WeaveError("WEAVE_PORT_IN_USE", `cannot listen on ${where}: another process uses it`, {
          next: `Find it with 'ss -ltnp sport = :${port}', or choose another port on all hosts with --port.`,
        })
      : new WeaveError("WEAVE_CONNECTION", `cannot listen on ${where}: ${errnoName(code)}`);
  } finally {
    memory.free();
  }
}
