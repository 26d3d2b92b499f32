import { readFileSync, writeFileSync } from "node:fs";
import { errorText, WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

// linux/resource.h; with id 0 it means the calling thread alone (setpriority(2), "C library/kernel differences").
const PRIO_PROCESS = 0;
/** sched_setattr(2), which glibc has only since 2.41; by `process.arch`. */
const SYS_SCHED_SETATTR: Readonly<Record<string, number>> = { x64: 314, arm64: 274 };
// struct sched_attr: u32 size, u32 policy, u64 flags, s32 nice, u32 priority, u64 runtime, and more. Policy 0 is SCHED_OTHER.
const ATTRIBUTES_BYTES = 48;
const NICE_AT = 16;
const RUNTIME_AT = 24;
/**
 * The time slice that a frame thread requests, in nanoseconds: the shortest that the kernel grants (Linux 6.12). A thread with a short slice is
 * served sooner after it wakes up, and gives way sooner; its share of the core stays the same.
 */
const SLICE_NS = 100_000;
/** Field of /proc/PID/stat after the name of the program: the session (proc_pid_stat(5)). */
const SESSION_FIELD = 3;

/**
 * Sets the nice value of the calling thread alone, from −20 (a large share of a busy core) to 19, and requests a short time slice where
 * the kernel has these.
 *
 * @throws WEAVE_NATIVE when the kernel refuses the value: a lower one needs CAP_SYS_NICE
 */
export function setThreadNice(nice: number): void {
  const done = libc.setpriority(PRIO_PROCESS, 0, nice) === 0;
  const code = errno();
  if (done) return requestShortSlice(nice);
  throw new WeaveError("WEAVE_NATIVE", `cannot set the priority of a thread to ${nice}: ${errnoName(code)}`);
}

function requestShortSlice(nice: number): void {
  const number = SYS_SCHED_SETATTR[process.arch];
  if (number === undefined) return;
  const attributes = new Memory(ATTRIBUTES_BYTES);
  attributes.view.setUint32(0, ATTRIBUTES_BYTES, true);
  attributes.view.setInt32(NICE_AT, nice, true);
  attributes.view.setUint32(RUNTIME_AT, SLICE_NS, true);
  // Older kernels ignore the slice.
  libc.syscall(number, 0, attributes.at(0, ATTRIBUTES_BYTES), 0, 0, 0, 0);
  attributes.free();
}

/**
 * Sets the nice value of this process' session among the sessions of the host. Where the kernel groups processes by session (sched(7), "The
 * autogroup feature"), the values of threads count only among the threads of their session.
 *
 * @returns why it was not set; undefined: it was, or there is nothing to set: the kernel has no such groups, or the session is not
 *   that of a router, but of a user's terminal
 */
export function setSessionNice(nice: number): string | undefined {
  try {
    if (readFileSync("/proc/sys/kernel/sched_autogroup_enabled", "utf8").trim() !== "1") return undefined;
    const stat = readFileSync("/proc/self/stat", "utf8");
    const session = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[SESSION_FIELD]);
    if (session !== process.pid && session !== process.ppid) return undefined;
  } catch {
    return undefined;
  }
  try {
    writeFileSync("/proc/self/autogroup", String(nice));
    return undefined;
  } catch (error) {
    return `cannot set the priority of the router's session to ${nice}: ${errorText(error)}`;
  }
}
