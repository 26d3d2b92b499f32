import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { libc } from "#src/linux/native/libc.js";

/**
 * Returns unused memory of this thread's JavaScript heap, and of the C library, to the kernel (malloc_trim(3)). Takes some tens of
 * milliseconds. The engine does so by itself only when it needs the memory for something else.
 */
export function releaseUnusedMemory(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  setFlagsFromString("--no-expose-gc");
  libc.malloc_trim(0);
}
