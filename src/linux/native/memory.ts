import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc, viewOf } from "#src/linux/native/libc.js";

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE = 4096;

/**
 * Memory outside the JavaScript heap, at an address that never moves, for system calls and ciphers to work on in place.
 *
 * It is the only source of addresses for native calls: {@link at} rejects a span that is not wholly inside. It is zeroed at
 * first, and must be released by {@link free} only when nothing native can use it any more.
 */
export class Memory {
  readonly size: number;
  readonly u8: Uint8Array;
  readonly view: DataView;
  #base: number;

  /** @throws WEAVE_NATIVE when the kernel has no memory */
  constructor(size: number) {
    this.size = Math.ceil(size / PAGE) * PAGE;
    const base = Number(libc.mmap(0, this.size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
    // MAP_FAILED is (void *) -1, the largest address there is.
    if (base <= 0 || base > Number.MAX_SAFE_INTEGER) {
      throw new WeaveError("WEAVE_NATIVE", `cannot map ${this.size} bytes of memory: ${errnoName(errno())}`);
    }
    this.#base = base;
    const buffer = viewOf(base, this.size);
    this.u8 = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /**
   * The address of `length` bytes at `offset`.
   *
   * @throws WEAVE_BOUNDS when they are not all inside this memory
   */
  at(offset: number, length: number): number {
    // One comparison chain: NaN and fractions fail it as well.
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

  /** Copies within the memory; spans may overlap. */
  copy(to: number, from: number, length: number): void {
    if (to < 0 || to + length > this.size || from < 0 || from + length > this.size) {
      throw new WeaveError("WEAVE_BOUNDS", `copy of ${length} bytes from ${from} to ${to} leaves the memory`);
    }
    this.u8.copyWithin(to, from, from + length);
  }

  /** Copies `length` bytes from another memory. One native call and no garbage, unlike `set` with a `subarray`. */
  copyFrom(to: number, from: Memory, offset: number, length: number): void {
    libc.memmove(this.at(to, length), from.at(offset, length), length);
  }

  free(): void {
    if (this.#base === 0) return;
    libc.munmap(this.#base, this.size);
    this.#base = 0;
    // Every later `at` would name unmapped memory: with this size it throws.
    (this as { size: number }).size = -1;
  }
}
