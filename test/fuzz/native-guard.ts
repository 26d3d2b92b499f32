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
  readonly #mapped = new Map<number, Mapping>();
  /** The mapping that was found last: the next span is mostly in the same one. */
  #last: Mapping = NOTHING;

  constructor(viewOf: (address: number, size: number) => ArrayBuffer) {
    type Native = Record<string, (...args: number[]) => number>;
    const [calls, crypto] = [libc as unknown as Native, libcrypto as unknown as Native];
    const { mmap, munmap } = calls;
    calls.mmap = (...args) => {
      const address = Number(mmap(...args));
      const view = new DataView(viewOf(address, args[1]));
      this.#mapped.set(address, { start: address, end: address + args[1], view });
      return address;
    };
    calls.munmap = (address, size) => {
      this.#mapped.delete(address);
      this.#last = NOTHING;
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

  /** Returns the mapping that a span is in. */
  #inside(what: string, at: number, length: number): Mapping {
    if (!holds(this.#last, at, length)) this.#last = this.#find(what, at, length);
    return this.#last;
  }

  #find(what: string, at: number, length: number): Mapping {
    for (const mapping of this.#mapped.values()) if (holds(mapping, at, length)) return mapping;
    this.violation ??= `${what}: ${length} bytes at ${at}`;
    throw new Error(`outside all mapped memory: ${this.violation}`);
  }

  /** struct iovec (readv(2)). */
  #vector(what: string, at: number, count: number): void {
    const { view, start } = this.#inside(what, at, count * 16);
    for (let entry = at - start; count > 0; count--, entry += 16)
      this.#inside(what, pointer(view, entry), pointer(view, entry + 8));
  }

  /** struct msghdr (sendmsg(2)). */
  #message(what: string, at: number): void {
    const { view, start } = this.#inside(what, at, 56);
    const header = at - start;
    this.#inside(what, pointer(view, header), view.getUint32(header + 8, true));
    this.#vector(what, pointer(view, header + 16), pointer(view, header + 24));
    const control = pointer(view, header + 40);
    if (control > 0) this.#inside(what, pointer(view, header + 32), control);
  }
}

/** Memory that was mapped. */
interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly view: DataView;
}

const NOTHING: Mapping = { start: 0, end: 0, view: new DataView(new ArrayBuffer(0)) };

const holds = ({ start, end }: Mapping, at: number, length: number): boolean =>
  at >= start && length >= 0 && at + length <= end;

/** 64 bits, little-endian. It makes no garbage, as `getBigUint64` does: some millions of calls have a hundred of them each. */
const pointer = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
