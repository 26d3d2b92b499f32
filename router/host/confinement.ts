import { statusLine } from "#router/service.js";
import { capabilityNames, KEPT } from "#src/linux/capabilities.js";
import { type ThreadStatus, threadStatuses } from "#src/linux/thread-status.js";

/** What the kernel lets the router do: the section `Confinement` of the report. */
export interface Confinement {
  /** Number of threads, which are all looked at. */
  readonly Threads: number;
  /** Capabilities of any thread, and those that a router does not need. */
  readonly Capabilities: readonly string[];
  readonly Unneeded: readonly string[];
  /** Whether all threads lack new privileges, and have a filter of system calls. */
  readonly NoNewPrivileges: boolean;
  readonly SystemCallFilter: boolean;
  /** What the kernel has refused, in words. */
  readonly Refused: readonly string[];
}

/** @param refused by the kernel at the start, in words */
export function confinementOf(threads: readonly ThreadStatus[], refused: readonly string[]): Confinement {
  const union = threads.reduce((set, { permitted }) => set | permitted, 0n);
  return {
    Threads: threads.length,
    Capabilities: capabilityNames(union),
    Unneeded: capabilityNames(union & ~KEPT),
    NoNewPrivileges: threads.every(({ noNewPrivileges }) => noNewPrivileges),
    SystemCallFilter: threads.every(({ filtered }) => filtered),
    Refused: refused,
  };
}

/** The confinement of this process now. */
export const confinement = (refused: readonly string[]): Confinement => confinementOf(threadStatuses("self"), refused);

/** The line of `weave status`. */
export function confinementLine(state: Confinement): string {
  const { Capabilities, Unneeded, NoNewPrivileges, SystemCallFilter, Refused } = state;
  const parts = [
    `${Capabilities.length} capabilities`,
    ...(Unneeded.length > 0 ? [`${Unneeded.length} of them not needed`] : []),
    NoNewPrivileges ? "no new privileges" : "NEW PRIVILEGES POSSIBLE",
    SystemCallFilter ? "system calls filtered" : "SYSTEM CALLS NOT FILTERED",
    ...Refused,
  ];
  return statusLine("Privileges", parts.join(", "));
}
