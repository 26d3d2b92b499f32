import { WeaveError } from "#src/errors.js";
import type { IoVector } from "#src/linux/native/io-vector.js";
import { Errno, errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

/** Results below zero of {@link readInto} and {@link writeFrom}: the errno, negated, as the kernel itself returns it. */
export const AGAIN = -Errno.EAGAIN;

/** read(2) into `length` bytes at `offset`. Returns the count, or minus errno. */
export function readInto(fd: number, memory: Memory, offset: number, length: number): number {
  const count = libc.read(fd, memory.at(offset, length), length);
  return count < 0 ? -errno() : count;
}

/** write(2) of `length` bytes at `offset`. Returns the count, or minus errno. */
export function writeFrom(fd: number, memory: Memory, offset: number, length: number): number {
  const count = libc.write(fd, memory.at(offset, length), length);
  return count < 0 ? -errno() : count;
}

/** writev(2): the spans of `parts` as one write. Returns the count, or minus errno. */
export function writeParts(fd: number, parts: IoVector): number {
  const count = libc.writev(fd, parts.address(), parts.count);
  return count < 0 ? -errno() : count;
}

export function closeFd(fd: number): void {
  libc.close(fd);
}

/** linux: asm-generic/ioctls.h. */
const FIONBIO = 0x5421;

/** Calls on `fd` fail with EAGAIN from now on where they would wait: also those of other holders of the open file. */
export function setNonBlocking(fd: number): void {
  const on = new Memory(4);
  on.view.setInt32(0, 1, true);
  libc.ioctl(fd, FIONBIO, on.at(0, 4));
  on.free();
}

const EFD_NONBLOCK = 0x800;
const EFD_CLOEXEC = 0x80000;

/** An event that wakes a thread out of {@link PollSet.wait} (eventfd(2)). */
export class WakeUp {
  readonly fd: number;
  readonly #memory: Memory;

  /** @param fd of an event that another thread has made. @throws WEAVE_NATIVE */
  constructor(fd?: number) {
    this.#memory = new Memory(16);
    this.fd = fd ?? libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (this.fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make an eventfd: ${errnoName(errno())}`);
  }

  signal(): void {
    this.#memory.view.setBigUint64(0, 1n, true);
    writeFrom(this.fd, this.#memory, 0, 8);
  }

  /** Until the next {@link signal} there is nothing to wake for. */
  acknowledge(): void {
    readInto(this.fd, this.#memory, 8, 8);
  }
}

const POLLIN = 1;
const POLL_ENTRY = 8;

/** A fixed set of descriptors to wait for (poll(2)). */
export class PollSet {
  readonly #memory: Memory;
  readonly #count: number;

  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    this.#memory = new Memory(fds.length * POLL_ENTRY);
    fds.forEach((fd, i) => {
      this.#memory.view.setInt32(i * POLL_ENTRY, fd, true);
      this.#memory.view.setInt16(i * POLL_ENTRY + 4, POLLIN, true);
    });
  }

  /** Blocks the thread until a descriptor can be read, or for `timeoutMs` (-1: for ever). */
  wait(timeoutMs: number): void {
    libc.poll(this.#memory.at(0, this.#count * POLL_ENTRY), this.#count, timeoutMs);
  }

  /** Whether the descriptor at `index` was ready (or in error) at the last wait. */
  ready(index: number): boolean {
    return this.#memory.view.getInt16(index * POLL_ENTRY + 6, true) !== 0;
  }
}
