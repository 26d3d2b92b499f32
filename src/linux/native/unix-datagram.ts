import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

// linux/socket.h, linux/net.h
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const NONBLOCK_CLOEXEC = 0x800 | 0x80000;
const MSG_NOSIGNAL = 0x4000;
/** Size of struct sockaddr_un (unix(7)): the family, and a path of 108 bytes. */
const SOCKADDR_BYTES = 110;
const PATH_AT = 2;
const TEXT_AT = 128;

/**
 * Sends one datagram to a Unix socket. Node has no sockets of this type.
 *
 * @param to path of the socket; `@` at its beginning stands for the zero of an abstract name, as in NOTIFY_SOCKET (sd_notify(3))
 * @throws WEAVE_NATIVE when the kernel does not accept it, also when it would block
 */
export function sendUnixDatagram(to: string, text: string): void {
  const path = Buffer.from(to.startsWith("@") ? `\0${to.slice(1)}` : to);
  if (path.length === 0 || path.length > SOCKADDR_BYTES - PATH_AT) throw refused(to, "its name is too long or empty");
  const bytes = Buffer.from(text);
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw refused(to, errnoName(errno()));
  const memory = new Memory(TEXT_AT + Math.max(bytes.length, 1));
  try {
    memory.view.setUint16(0, AF_UNIX, true);
    for (const [at, byte] of path.entries()) memory.view.setUint8(PATH_AT + at, byte);
    for (const [at, byte] of bytes.entries()) memory.view.setUint8(TEXT_AT + at, byte);
    // An abstract name ends where the address ends; a path would end at a zero, too.
    const length = PATH_AT + path.length;
    const sent = libc.sendto(
      fd,
      memory.at(TEXT_AT, bytes.length),
      bytes.length,
      MSG_NOSIGNAL,
      memory.at(0, length),
      length,
    );
    if (sent < 0) throw refused(to, errnoName(errno()));
  } finally {
    memory.free();
    libc.close(fd);
  }
}

const refused = (to: string, why: string) => new WeaveError("WEAVE_NATIVE", `cannot send to the socket ${to}: ${why}`);
