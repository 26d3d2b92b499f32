import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc, viewOf } from "#src/linux/native/libc.js";

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE = 4096;

/** The memories that {@link withTemporaryMemory} will free; undefined outside of it. */
let temporary: Memory[] | undefined;

/** Runs a function, and frees all memories that this thread makes meanwhile. No native call may use them afterwards. */
export function withTemporaryMemory(run: () => void): void {
  const made: Memory[] = [];
  temporary = made;
  try {
    run();
  } finally {
    temporary = undefined;
    for (const memory of made) memory.free();
  }
}

/**
 * Zeroed memory outside the JavaScript heap, at a fixed address, on which system calls and ciphers work in place.
 *
 * It is the only source of addresses for native calls: {@link at} rejects a span that is not wholly inside. {@link free} must be
 * called only when no native call can use the memory any more.
 */
export class Memory {
  /** Size in bytes, a multiple of the page size. */
  readonly size: number;
  readonly u8: Uint8Array;
  readonly view: DataView;
  #base: number;

  /** @throws WEAVE_NATIVE when the kernel has no memory */
  constructor(size: number) {
    this.size = Math.ceil(size / PAGE) * PAGE;
    const base = Number(libc.mmap(0, this.size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
    // MAP_FAILED is (void *) -1, the largest address.
    if (base <= 0 || base > Number.MAX_SAFE_INTEGER) {
      throw new WeaveError("WEAVE_NATIVE", `cannot map ${this.size} bytes of memory: ${errnoName(errno())}`);
    }
    this.#base = base;
    const buffer = viewOf(base, this.size);
    this.u8 = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    temporary?.push(this);
  }

  /**
   * Returns the address of `length` bytes at `offset`.
   *
   * @throws WEAVE_BOUNDS when the bytes are not wholly inside this memory
   */
  at(offset: number, length: number): number {
    // NaN and fractions fail this condition too.
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size && Number.isInteger(offset + length))) {
      throw new WeaveError("WEAVE_BOUNDS", `${length} bytes at ${offset} are outside a memory of ${this.size} bytes`);
    }
    return this.#base + offset;
  }

  /** Stores the address of a span as a native pointer (64 bits, little-endian) at `where`. */
  pointer(where: number, offset: number, length: number): void {
    const address = this.at(offset, length);
    this.view.setUint32(where, address >>> 0, true);
    this.view.setUint32(where + 4, Math.floor(address / 0x1_0000_0000), true);
  }

  /** Copies within the memory; the spans may overlap. @throws WEAVE_BOUNDS */
  copy(to: number, from: number, length: number): void {
    if (to < 0 || to + length > this.size || from < 0 || from + length > this.size) {
      throw new WeaveError("WEAVE_BOUNDS", `copy of ${length} bytes from ${from} to ${to} leaves the memory`);
    }
    this.u8.copyWithin(to, from, from + length);
  }

  /** Copies `length` bytes from another memory. Unlike `set` with a `subarray`, it allocates nothing. @throws WEAVE_BOUNDS */
  copyFrom(to: number, from: Memory, offset: number, length: number): void {
    libc.memmove(this.at(to, length), from.at(offset, length), length);
  }

  /** Returns the memory to the kernel. Repeated calls do nothing. */
  free(): void {
    if (this.#base === 0) return;
    libc.munmap(this.#base, this.size);
    this.#base = 0;
    // With this size every later `at` throws, instead of returning an address of unmapped memory.
    (this as { size: number }).size = -1;
  }
}
