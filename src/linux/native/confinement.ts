import { errorText } from "#src/errors.js";
import { capabilityNumbers, KEPT } from "#src/linux/capabilities.js";
import { libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { DENIED_AFTER_START, installSeccompFilter } from "#src/linux/native/seccomp.js";
import { threadStatus } from "#src/linux/thread-status.js";

// linux/prctl.h
const PR_SET_DUMPABLE = 4;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
// linux/capability.h
const CAPABILITY_VERSION_3 = 0x2008_0522;
// asm-generic/resource.h
const RLIMIT_CORE = 4;

/**
 * Reduces the calling thread to the capabilities of a router, for a program that takes its place (execve(2)): the program's threads have
 * no others, as it gets no new privileges. What the kernel refuses stays, and shows in the router's status.
 */
export function restrictBeforeExec(): void {
  const { bounding, permitted } = threadStatus();
  for (const number of capabilityNumbers(bounding & ~KEPT)) libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
  libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Without CAP_SETPCAP the bounding set stays. The program then gets what is permitted now, as it gets no new privileges.
  const kept = permitted & KEPT;
  const memory = new Memory(64);
  const { view } = memory;
  view.setUint32(0, CAPABILITY_VERSION_3, true);
  // struct __user_cap_data_struct { u32 effective, permitted, inheritable }[2], from offset 8.
  for (const half of [0, 1]) {
    const word = Number((kept >> BigInt(32 * half)) & 0xffff_ffffn);
    view.setUint32(8 + 12 * half, word, true);
    view.setUint32(12 + 12 * half, word, true);
  }
  libc.capset(memory.at(0, 8), memory.at(8, 24));
  memory.free();
}

/**
 * Takes from all threads of this process, and from the programs that it starts, what no router needs: new privileges, core dumps (with keys
 * in them), being read by other processes of its user, and system calls (seccomp.ts).
 *
 * @returns what the kernel refused, in words; empty: nothing
 */
export function confineProcess(): string[] {
  const refused: string[] = [];
  const limits = new Memory(16);
  if (libc.setrlimit(RLIMIT_CORE, limits.at(0, 16)) !== 0) refused.push("core dumps cannot be turned off");
  limits.free();
  if (libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) refused.push("its memory stays readable to processes of its user");
  if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) refused.push("programs may get new privileges");
  try {
    // It has the setting no_new_privs of this thread apply to all threads, too.
    installSeccompFilter();
  } catch (error) {
    refused.push(errorText(error));
  }
  return refused;
}

/**
 * Takes what only the start of the frame threads needs: the call by which a thread could get a real-time policy.
 *
 * @returns what the kernel refused, in words; undefined: nothing
 */
export function confineStarted(): string | undefined {
  try {
    installSeccompFilter(DENIED_AFTER_START);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}
