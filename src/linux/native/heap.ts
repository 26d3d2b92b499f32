import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { libc } from "#src/linux/native/libc.js";

// malloc.h
const M_MMAP_THRESHOLD = -3;
/** The C library's own first value (mallopt(3)). */
const LARGE_BYTES = 128 << 10;

type Collect = (options?: { readonly type: "minor" }) => void;
let engine: Collect | undefined;

/** The engine's own function, which a script has only with the flag. */
function collect(): Collect {
  if (engine !== undefined) return engine;
  setFlagsFromString("--expose-gc");
  engine = runInNewContext("gc") as Collect;
  setFlagsFromString("--no-expose-gc");
  return engine;
}

/** Bytes of this thread's objects and of the buffers that belong to them, garbage included. It takes some microseconds. */
export function usedHeapBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

/** Collects the garbage among new objects of this thread, with the buffers that belong to it; about a millisecond. */
export function collectYoung(): void {
  collect()({ type: "minor" });
}

/** Collects all garbage of this thread; some tens of milliseconds. */
export function collectAll(): void {
  collect()();
}

/**
 * Lets each large block of the C library be a mapping of its own, which is returned to the kernel when it is free. By default the library raises
 * the limit up to 32 MB as blocks of this size are freed, and keeps them for others.
 */
export function separateLargeBlocks(): void {
  libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
}

/**
 * Returns unused memory of this thread's JavaScript heap, and of the C library, to the kernel (malloc_trim(3)). Takes some tens of
 * milliseconds. The engine does so by itself only when it needs the memory for something else.
 */
export function releaseUnusedMemory(): void {
  collectAll();
  libc.malloc_trim(0);
}
