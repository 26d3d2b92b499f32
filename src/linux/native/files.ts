import { WeaveError } from "#src/errors.js";
import type { IoVector } from "#src/linux/native/io-vector.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

/** Reads up to `length` bytes to `offset` (read(2)). @returns the count, or minus errno */
export function readInto(fd: number, memory: Memory, offset: number, length: number): number {
  const count = libc.read(fd, memory.at(offset, length), length);
  return count < 0 ? -errno() : count;
}

/** Writes `length` bytes from `offset` (write(2)). @returns the count, or minus errno */
export function writeFrom(fd: number, memory: Memory, offset: number, length: number): number {
  const count = libc.write(fd, memory.at(offset, length), length);
  return count < 0 ? -errno() : count;
}

/** Writes the spans of `parts` as one write (writev(2)). @returns the count, or minus errno */
export function writeParts(fd: number, parts: IoVector): number {
  const count = libc.writev(fd, parts.address(), parts.count);
  return count < 0 ? -errno() : count;
}

/** Closes a descriptor. Errors are ignored. */
export function closeFd(fd: number): void {
  libc.close(fd);
}

// asm-generic/ioctls.h
const FIONBIO = 0x5421;

/** Makes calls on `fd` fail with EAGAIN instead of waiting, also for other processes that share the open file. */
export function setNonBlocking(fd: number): void {
  const on = new Memory(4);
  on.view.setInt32(0, 1, true);
  libc.ioctl(fd, FIONBIO, on.at(0, 4));
  on.free();
}

const EFD_NONBLOCK = 0x800;
const EFD_CLOEXEC = 0x80000;

/** An event that ends the {@link PollSet.wait} of another thread (eventfd(2)). */
export class WakeUp {
  readonly fd: number;
  readonly #memory: Memory;

  /** @param fd descriptor of an event that another thread has made; a new event by default. @throws WEAVE_NATIVE */
  constructor(fd?: number) {
    this.#memory = new Memory(16);
    this.fd = fd ?? libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (this.fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make an eventfd: ${errnoName(errno())}`);
  }

  /** Wakes the thread. */
  signal(): void {
    this.#memory.view.setBigUint64(0, 1n, true);
    writeFrom(this.fd, this.#memory, 0, 8);
  }

  /** Resets the event until the next {@link signal}. */
  acknowledge(): void {
    readInto(this.fd, this.#memory, 8, 8);
  }
}

const POLLIN = 1;
/** Size of struct pollfd: descriptor, requested events, returned events. */
const POLL_ENTRY = 8;

/** A fixed set of descriptors whose input a thread waits for (poll(2)). */
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

  /** Blocks the thread until a descriptor has input, for `timeoutMs` at most (-1: no limit). */
  wait(timeoutMs: number): void {
    this.any = libc.poll(this.#memory.at(0, this.#count * POLL_ENTRY), this.#count, timeoutMs) > 0;
  }

  /** Whether any descriptor had input, or an error, at the end of the last wait. */
  any = false;

  /** Whether the descriptor at `index` had input, or an error, at the end of the last wait. */
  ready(index: number): boolean {
    return this.#memory.view.getInt16(index * POLL_ENTRY + 6, true) !== 0;
  }
}
