import { readFileSync } from "node:fs";

/**
 * Returns the time at which a process started, in the kernel's ticks since the boot (field 22 of /proc/PID/stat, proc(5)); undefined
 * when it has ended. With the id it identifies a process: another one may get the same id later.
 */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // State Z: the process has ended, and its parent has not yet collected its status.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
