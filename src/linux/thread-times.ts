import { readFileSync } from "node:fs";

/** What the kernel's scheduler has counted for a thread since its start, in milliseconds. */
export interface ThreadTimes {
  /** Time on a core. That of a running thread may lack its last milliseconds, until the next tick of the kernel. */
  readonly ranMs: number;
  /** Time for which it was ready to run, and had no core. */
  readonly waitedMs: number;
}

const MS_IN_NS = 1e6;

/**
 * Reads the times of a thread (Documentation/scheduler/sched-stats.rst of the kernel, `schedstat`).
 *
 * @param path of its folder in /proc; by default the calling thread's
 * @returns undefined: this kernel does not count them
 */
export function threadTimes(path = "/proc/thread-self"): ThreadTimes | undefined {
  let text: string;
  try {
    text = readFileSync(`${path}/schedstat`, "utf8");
  } catch {
    return undefined;
  }
  const [ran, waited] = text.split(" ").map(Number);
  // A kernel that has the file and does not count says that a thread which reads it has never run.
  return ran > 0 ? { ranMs: ran / MS_IN_NS, waitedMs: waited / MS_IN_NS } : undefined;
}
