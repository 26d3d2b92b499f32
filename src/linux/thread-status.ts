import { readdirSync, readFileSync } from "node:fs";
import type { CapabilitySet } from "#src/linux/capabilities.js";

/** What the kernel lets a thread do (proc_pid_status(5)). */
export interface ThreadStatus {
  readonly permitted: CapabilitySet;
  readonly effective: CapabilitySet;
  readonly bounding: CapabilitySet;
  readonly inheritable: CapabilitySet;
  readonly noNewPrivileges: boolean;
  /** Whether a filter of system calls is in force. */
  readonly filtered: boolean;
}

/** Reads the status of a thread. @param path of its folder in /proc @throws Error when it has ended */
export function threadStatus(path = "/proc/thread-self"): ThreadStatus {
  const text = readFileSync(`${path}/status`, "utf8");
  const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(text)?.[1] ?? "0";
  const set = (name: string): CapabilitySet => BigInt(`0x${field(name)}`);
  return {
    permitted: set("CapPrm"),
    effective: set("CapEff"),
    bounding: set("CapBnd"),
    inheritable: set("CapInh"),
    noNewPrivileges: field("NoNewPrivs") === "1",
    filtered: field("Seccomp") === "2",
  };
}

/** The status of all threads of a process. A thread that ends meanwhile is left out. */
export function threadStatuses(pid: number | "self"): ThreadStatus[] {
  const folder = `/proc/${pid}/task`;
  return readdirSync(folder).flatMap((id) => {
    try {
      return [threadStatus(`${folder}/${id}`)];
    } catch {
      return [];
    }
  });
}
