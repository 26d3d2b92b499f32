import type { Drop } from "#router/datapath/protocol.js";
import { Errno } from "#src/linux/native/libc.js";

/** The counter of a send that failed. */
export function dropOf(errno: number): Drop {
  switch (errno) {
    case Errno.EMSGSIZE:
    case Errno.EINVAL:
      return "datagram-too-big";
    // The socket's buffer or the device's queue is full. Waiting for it would stall all other peers.
    case Errno.EAGAIN:
    case Errno.ENOBUFS:
      return "send-queue-full";
    default:
      return "send-failed";
  }
}
