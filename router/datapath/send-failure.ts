import type { Drop } from "#router/datapath/protocol.js";
import { Errno } from "#src/linux/native/libc.js";

/** The drop reason under which a failed send is counted. */
export function sendDropReason(errno: number): Drop {
  switch (errno) {
    case Errno.EMSGSIZE:
    case Errno.EINVAL:
      return "datagram-too-big";
    // The socket's buffer or the device's queue is full. Waiting would stall all other peers.
    case Errno.EAGAIN:
    case Errno.ENOBUFS:
      return "send-queue-full";
    default:
      return "send-failed";
  }
}
