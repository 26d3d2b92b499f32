import { libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

// linux/time.h
const CLOCK_THREAD_CPUTIME_ID = 3;
/** Size of struct timespec. */
const TIMESPEC_BYTES = 16;

const memory = new Memory(TIMESPEC_BYTES);
const at = memory.at(0, TIMESPEC_BYTES);

/** Milliseconds of CPU time that this thread has used (clock_gettime(2)): it does not run while other processes do. */
export function threadCpuMs(): number {
  libc.clock_gettime(CLOCK_THREAD_CPUTIME_ID, at);
  return memory.view.getUint32(0, true) * 1e3 + memory.view.getUint32(8, true) / 1e6;
}
