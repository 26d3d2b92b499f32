import { isMainThread } from "node:worker_threads";
import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

/**
 * Notifies the event loop of input of sockets that Node has no class for: netlink and packet sockets. The kernel sends SIGIO to the main
 * thread (signal-driven I/O, fcntl(2), F_SETOWN), and Node calls a listener in the event loop. So there is no thread that waits, with
 * its memory, and nothing that looks again and again. The signals of a socket end when its buffer is full, until it is read: a flood
 * costs no more than the buffer holds. What floods can fill is the pipe by which Node passes signals on, of 4,096: SIGTERM would be lost.
 * The buffers of all such sockets together hold fewer messages.
 */

// asm-generic/fcntl.h, asm-generic/ioctls.h
const F_SETOWN_EX = 15;
const F_OWNER_TID = 0;
const FIOASYNC = 0x5452;

const watched = new Map<number, () => void>();
let listening = false;

/**
 * Calls `ready` in the event loop whenever a socket may have input; a call may find none. `ready` must read until there is no more, or
 * call itself again later: there is no signal for what is there already.
 *
 * @param fd a non-blocking socket, closed on exec
 * @returns ends the calls; it must precede the closing of the socket
 * @throws WEAVE_NATIVE outside of the main thread, or where the kernel refuses
 */
export function onInput(fd: number, ready: () => void): () => void {
  if (!isMainThread) throw new WeaveError("WEAVE_NATIVE", "only the main thread receives signals of input");
  listen();
  const memory = new Memory(8);
  // struct f_owner_ex: type, id of the thread. A signal for the process could interrupt a thread of the frame path instead.
  memory.view.setInt32(0, F_OWNER_TID, true);
  memory.view.setInt32(4, process.pid, true);
  const owned = libc.fcntl(fd, F_SETOWN_EX, memory.at(0, 8)) === 0;
  const code = errno();
  memory.free();
  if (!owned || !setSignals(fd, true))
    throw new WeaveError("WEAVE_NATIVE", `no signals of a socket's input: ${errnoName(owned ? errno() : code)}`);
  watched.set(fd, ready);
  // For what has arrived before.
  setImmediate(() => watched.get(fd) === ready && ready());
  return () => {
    if (watched.get(fd) !== ready) return;
    setSignals(fd, false);
    watched.delete(fd);
  };
}

/** The listener stays for ever: without one the signal would end the process. */
function listen(): void {
  if (listening) return;
  listening = true;
  process.on("SIGIO", () => {
    for (const ready of [...watched.values()]) ready();
  });
  // Node takes its handlers back while it ends.
  process.on("exit", () => {
    for (const fd of watched.keys()) setSignals(fd, false);
  });
}

function setSignals(fd: number, on: boolean): boolean {
  const memory = new Memory(4);
  memory.view.setInt32(0, on ? 1 : 0, true);
  const done = libc.ioctl(fd, FIOASYNC, memory.at(0, 4)) >= 0;
  memory.free();
  return done;
}
