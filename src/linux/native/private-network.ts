import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { inNewNamespace } from "#src/linux/native/namespace-entry.js";

// linux/socket.h, linux/sockios.h, linux/if.h: struct ifreq has a name of 16 bytes, then the flags.
const AF_INET = 2;
const DGRAM_CLOEXEC = 2 | 0x80000;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
const IFREQ_BYTES = 40;
const IFREQ_FLAGS_AT = 16;

/**
 * Runs a function in a new network namespace, whose loopback interface is up, and returns to the present one. Sockets that it
 * opens stay in the new namespace, which the kernel removes with the last of them: what they send touches no interface, firewall or
 * counter of the host. Only the calling thread changes its namespace.
 *
 * @throws WEAVE_NAMESPACE when this process may not make one, WEAVE_NATIVE
 */
export function inPrivateNetwork<T>(run: () => T): T {
  return inNewNamespace(() => {
    raiseLoopback();
    return run();
  });
}

function raiseLoopback(): void {
  const fd = libc.socket(AF_INET, DGRAM_CLOEXEC, 0);
  const memory = new Memory(IFREQ_BYTES);
  memory.u8.set(Buffer.from("lo"), 0);
  memory.view.setUint16(IFREQ_FLAGS_AT, IFF_UP, true);
  const code = libc.ioctl(fd, SIOCSIFFLAGS, memory.at(0, IFREQ_BYTES)) < 0 ? errno() : 0;
  memory.free();
  libc.close(fd);
  if (code !== 0) throw new WeaveError("WEAVE_NATIVE", `cannot raise a loopback interface: ${errnoName(code)}`);
}

// linux/socket.h, linux/net.h
const AF_UNIX = 1;
const SEQPACKET_NONBLOCK_CLOEXEC = 5 | 0x800 | 0x80000;

/** Makes two connected descriptors: each write at one end is one read at the other, as of a TAP. @throws WEAVE_NATIVE */
export function packetPair(): readonly [number, number] {
  const memory = new Memory(8);
  const made = libc.socketpair(AF_UNIX, SEQPACKET_NONBLOCK_CLOEXEC, 0, memory.at(0, 8)) === 0;
  const code = made ? 0 : errno();
  const pair = [memory.view.getInt32(0, true), memory.view.getInt32(4, true)] as const;
  memory.free();
  if (!made) throw new WeaveError("WEAVE_NATIVE", `cannot make a pair of sockets: ${errnoName(code)}`);
  return pair;
}
