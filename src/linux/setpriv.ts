import { capabilityNumbers, KEPT, SETPCAP } from "#src/linux/capabilities.js";
import { type ThreadStatus, threadStatus } from "#src/linux/thread-status.js";

/** A program with its arguments. */
export type CommandLine = readonly [file: string, ...args: string[]];

/**
 * Puts setpriv(1) in front of a program, which then runs with the capabilities of a router and without new privileges, in all of its
 * threads. A thread's capabilities are its own: a running Node.js could reduce only those of its main thread, and would load native code
 * for it. setpriv is in util-linux, as nsenter is.
 *
 * @param status of this thread
 * @returns undefined if it would change nothing, or may not
 */
export function restricted(command: CommandLine, status: ThreadStatus = threadStatus()): CommandLine | undefined {
  const excess = status.bounding & ~KEPT;
  const mayDrop = ((status.effective >> BigInt(SETPCAP)) & 1n) === 1n;
  if (!mayDrop || (excess === 0n && status.noNewPrivileges)) return undefined;
  // Numbers, and only those of this kernel: "-all" fails with a libcap-ng that is older than the kernel.
  const drop = (set: bigint) =>
    capabilityNumbers(set)
      .map((number) => `-cap_${number}`)
      .join(",");
  const inheritable = status.inheritable & ~KEPT;
  return [
    "setpriv",
    "--no-new-privs",
    ...(excess === 0n ? [] : [`--bounding-set=${drop(excess)}`]),
    ...(inheritable === 0n ? [] : [`--inh-caps=${drop(inheritable)}`]),
    "--",
    ...command,
  ];
}
