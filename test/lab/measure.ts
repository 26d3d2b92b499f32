import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Namespace } from "#test/lab/namespace.js";

/** TCP throughput in Gbit/s, by iperf3, as the receiver counts it. */
export async function tcpGbits(
  from: Namespace,
  to: Namespace,
  address: string,
  options: { seconds?: number; streams?: number; congestion?: string } = {},
): Promise<number> {
  const { seconds = 4, streams = 1, congestion } = options;
  const server = to.spawn(["iperf3", "-s", "-1", "-p", "5201"]);
  try {
    await sleep(300);
    const output = await from.must(
      "timeout",
      String(seconds + 15),
      "iperf3",
      "-J",
      "-c",
      address,
      "-t",
      String(seconds),
      "-P",
      String(streams),
      ...(congestion === undefined ? [] : ["-C", congestion]),
    );
    const report = JSON.parse(output) as { end: { sum_received: { bits_per_second: number } } };
    return report.end.sum_received.bits_per_second / 1e9;
  } finally {
    server.kill("SIGKILL");
  }
}

/** Round-trip times in milliseconds, sorted. */
export async function pingTimes(from: Namespace, address: string, count = 200): Promise<number[]> {
  const output = await from.must("ping", "-n", "-c", String(count), "-i", "0.01", "-W", "1", address);
  return [...output.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1])).sort((a, b) => a - b);
}

/** Of an even count, the mean of the two in the middle; of none, NaN. */
export const median = (sorted: readonly number[]): number =>
  (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;

/** CPU time that a process has used, in seconds (proc(5): fields 14 and 15, in hundredths). */
export function cpuSeconds(pid: number): number {
  const { user, system } = cpuOf(`/proc/${pid}/stat`);
  return user + system;
}

/** CPU times in seconds: of the threads that have ended and of all others together, and of the main thread, which is the event loop. */
export interface CpuParts {
  readonly user: number;
  readonly system: number;
  readonly eventLoop: { readonly user: number; readonly system: number };
}

export const cpuParts = (pid: number): CpuParts => ({
  ...cpuOf(`/proc/${pid}/stat`),
  eventLoop: cpuOf(`/proc/${pid}/task/${pid}/stat`),
});

function cpuOf(file: string): { user: number; system: number } {
  const stat = readFileSync(file, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[11]) / 100, system: Number(fields[12]) / 100 };
}

/** Resident memory of a process in MB. */
export function rssMegabytes(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) / 1024;
}
