import { libc, libcrypto } from "#src/linux/native/libc.js";

/**
 * Stands between our code and the kernel: every address that a native call is given must lie, with all the bytes that the
 * call may touch, in memory that was mapped for the purpose and not yet given back. Install it before anything is mapped.
 */
export class NativeGuard {
  /** Native calls that were looked at. */
  calls = 0;
  /** The first address that was outside. */
  violation: string | undefined;
  /** Start and end of each mapping. */
  readonly #mapped = new Map<number, number>();
  /** The mapping that was found last: the next span is mostly in the same one. */
  #last: readonly [number, number] = [0, 0];
  #views = new Map<number, DataView>();

  constructor(viewOf: (address: number, size: number) => ArrayBuffer) {
    type Native = Record<string, (...args: number[]) => number>;
    const [calls, crypto] = [libc as unknown as Native, libcrypto as unknown as Native];
    const { mmap, munmap } = calls;
    calls.mmap = (...args) => {
      const address = Number(mmap(...args));
      this.#mapped.set(address, address + args[1]);
      this.#views.set(address, new DataView(viewOf(address, args[1])));
      return address;
    };
    calls.munmap = (address, size) => {
      this.#mapped.delete(address);
      this.#last = [0, 0];
      this.#views.delete(address);
      return munmap(address, size);
    };
    this.#watch(calls, "read", (_fd, at, length) => this.#inside("read", at, length));
    this.#watch(calls, "write", (_fd, at, length) => this.#inside("write", at, length));
    this.#watch(calls, "writev", (_fd, at, count) => this.#vector("writev", at, count));
    this.#watch(calls, "memmove", (to, from, length) => {
      this.#inside("memmove to", to, length);
      this.#inside("memmove from", from, length);
    });
    this.#watch(calls, "poll", (at, count) => this.#inside("poll", at, count * 8));
    this.#watch(calls, "bind", (_fd, at, length) => this.#inside("bind", at, length));
    this.#watch(calls, "setsockopt", (_fd, _level, _name, at, length) => this.#inside("setsockopt", at, length));
    this.#watch(calls, "getsockopt", (_fd, _level, _name, at, length) => {
      this.#inside("getsockopt", at, 36);
      this.#inside("getsockopt length", length, 4);
    });
    for (const name of ["sendmsg", "recvmsg"]) this.#watch(calls, name, (_fd, at) => this.#message(name, at));
    this.#watch(calls, "recvmmsg", (_fd, at, count) => {
      for (let i = 0; i < count; i++) this.#message("recvmmsg", at + i * 64);
    });
    if (crypto === undefined) return;
    this.#watch(crypto, "cipher", (_context, to, from, length) => {
      this.#inside("cipher to", to, length);
      this.#inside("cipher from", from, length);
    });
    this.#watch(crypto, "control", (_context, _type, length, at) => length > 0 && this.#inside("control", at, length));
  }

  #watch(
    calls: Record<string, (...args: number[]) => number>,
    name: string,
    look: (...args: number[]) => unknown,
  ): void {
    const call = calls[name];
    calls[name] = (...args) => {
      this.calls++;
      look(...args);
      return call(...args);
    };
  }

  #inside(what: string, at: number, length: number): number {
    const [start, end] = this.#last;
    if (at >= start && length >= 0 && at + length <= end) return start;
    for (const mapping of this.#mapped) {
      if (at < mapping[0] || length < 0 || at + length > mapping[1]) continue;
      this.#last = mapping;
      return mapping[0];
    }
    this.violation ??= `${what}: ${length} bytes at ${at}`;
    throw new Error(`outside all mapped memory: ${this.violation}`);
  }

  /** struct iovec (readv(2)). */
  #vector(what: string, at: number, count: number): void {
    const start = this.#inside(`${what} list`, at, count * 16);
    const view = this.#views.get(start)!;
    for (let i = 0; i < count; i++) {
      const entry = at - start + i * 16;
      this.#inside(what, Number(view.getBigUint64(entry, true)), Number(view.getBigUint64(entry + 8, true)));
    }
  }

  /** struct msghdr (sendmsg(2)). */
  #message(what: string, at: number): void {
    const start = this.#inside(`${what} header`, at, 56);
    const view = this.#views.get(start)!;
    const field = (offset: number) => Number(view.getBigUint64(at - start + offset, true));
    this.#inside(`${what} name`, field(0), view.getUint32(at - start + 8, true));
    this.#vector(what, field(16), field(24));
    if (field(40) > 0) this.#inside(`${what} control`, field(32), field(40));
  }
}
