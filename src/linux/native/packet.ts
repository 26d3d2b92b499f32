import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

// linux/socket.h, linux/net.h
const AF_PACKET = 17;
const SOCK_RAW = 3;
const NONBLOCK_CLOEXEC = 0x800 | 0x80000;
/** Size of struct sockaddr_ll. */
const SOCKADDR_LL_BYTES = 20;
/** Offset of the frame in the memory of a call, after the address. */
const FRAME_AT = 32;

/** Sends one Ethernet frame through an interface (packet(7)). @throws WEAVE_NATIVE */
export function sendFrame(device: string, frame: Uint8Array): void {
  const index = libc.interfaceIndex(device);
  if (index === 0) throw new WeaveError("WEAVE_NATIVE", `there is no interface ${device}`);
  // With protocol 0 the socket receives nothing.
  const fd = libc.socket(AF_PACKET, SOCK_RAW | NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make a packet socket: ${errnoName(errno())}`);
  const memory = new Memory(FRAME_AT + frame.length);
  try {
    // struct sockaddr_ll: family, protocol, interface index; the other fields are not used for sending.
    memory.view.setUint16(0, AF_PACKET, true);
    memory.view.setInt32(4, index, true);
    memory.u8.set(frame, FRAME_AT);
    const bound = libc.bind(fd, memory.at(0, SOCKADDR_LL_BYTES), SOCKADDR_LL_BYTES) === 0;
    if (!bound || libc.write(fd, memory.at(FRAME_AT, frame.length), frame.length) < 0)
      throw new WeaveError("WEAVE_NATIVE", `cannot send a frame through ${device}: ${errnoName(errno())}`);
  } finally {
    libc.close(fd);
    memory.free();
  }
}
