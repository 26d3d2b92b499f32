import { readdirSync, readFileSync } from "node:fs";
import type { ControlGroup } from "#test/bench/control-group.js";

/** Ticks of /proc (proc(5), USER_HZ), always the same for programs. */
const TICKS = 100;
/** kthreadd, whose children are the kernel's threads. */
const KERNEL_PARENT = 2;

/** CPU time of a process until now, in seconds. */
export interface ProcessTimes {
  readonly parent: number;
  /** Of all its threads. */
  readonly own: number;
  /** Of children that have ended, with theirs. */
  readonly ended: number;
}

/**
 * CPU time until now. Each process has what the scheduler counted; the sums of /proc/stat come from samples at the clock's ticks, which
 * overlook or exaggerate programs that wake at regular times, as the benchmark's own do.
 */
export interface CpuTimes {
  /** Of processes that are neither the benchmark's nor the kernel's, by number. */
  readonly others: ReadonlyMap<number, ProcessTimes>;
  /** Of the kernel's own threads, in seconds: packets that are processed there belong to no process. */
  readonly kernel: number;
  /** Taken by the hypervisor for other machines, in seconds, of all processors together. */
  readonly stolen: number;
}

/** Parses a /proc/PID/stat. */
export function processTimes(stat: string): ProcessTimes {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [user, system, endedUser, endedSystem] = fields.slice(11, 15).map(Number);
  return { parent: Number(fields[1]), own: (user + system) / TICKS, ended: (endedUser + endedSystem) / TICKS };
}

/** The hypervisor's time in a /proc/stat, in seconds; 0 for kernels that have none. */
export const stolenSeconds = (stat: string): number => Number(stat.split("\n")[0].split(/\s+/)[8] ?? 0) / TICKS;

/**
 * CPU time that others used between two samples, in seconds. A process that began and ended meanwhile is in the time of its parent's
 * ended children, and so is one that ended with all that it had used before: that part does not count.
 */
export function othersSeconds(before: CpuTimes["others"], after: CpuTimes["others"]): number {
  const earlier = new Map<number, number>();
  for (const [pid, { parent, own, ended }] of before)
    if (!after.has(pid)) earlier.set(parent, (earlier.get(parent) ?? 0) + own + ended);
  let sum = 0;
  for (const [pid, { own, ended }] of after) {
    const first = before.get(pid);
    sum += own - (first?.own ?? 0);
    sum += Math.max(0, ended - (first?.ended ?? 0) - (earlier.get(pid) ?? 0));
  }
  return sum;
}

/** What others used of the processors between two samples, in cores; the hypervisor is one of them. */
export const foreignCores = (before: CpuTimes, after: CpuTimes, seconds: number): number =>
  (othersSeconds(before.others, after.others) + after.stolen - before.stolen) / seconds;

/** Reads all of them. `own` is the group of the benchmark. */
export function cpuTimes(own: ControlGroup): CpuTimes {
  const mine = new Set(own.allPids);
  const others = new Map<number, ProcessTimes>();
  let kernel = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || mine.has(Number(name))) continue;
    try {
      const times = processTimes(readFileSync(`/proc/${name}/stat`, "utf8"));
      if (times.parent === KERNEL_PARENT) kernel += times.own;
      else others.set(Number(name), times);
    } catch {
      // That process has ended.
    }
  }
  return { others, kernel, stolen: stolenSeconds(readFileSync("/proc/stat", "utf8")) };
}
