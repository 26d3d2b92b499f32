/** What is measured of an overlay, how it is shown, and the arithmetic of medians and ratios. */
import { median } from "#test/lab/measure.js";

export type Better = "higher" | "lower";

export interface Figure {
  readonly title: string;
  readonly digits: number;
  readonly better: Better;
  /** The table that shows it. */
  readonly table: "throughput" | "latency" | "beside busy processes" | "cost";
  /** The title where no other column is beside it. */
  readonly full: string;
}

const figure = (
  table: Figure["table"],
  title: string,
  digits: number,
  better: Better,
  full: string = title,
): Figure => ({ table, title, digits, better, full });

/** TCP in Gbit/s, UDP in thousands of datagrams a second, times in µs, CPU in seconds for each 10^9 bytes, memory in MB. */
export const FIGURES = {
  tcpCold: figure("throughput", "TCP 1 cold", 2, "higher"),
  tcp1: figure("throughput", "TCP 1", 2, "higher"),
  tcp4: figure("throughput", "TCP 4", 2, "higher"),
  udp64: figure("throughput", "UDP 64, 1 %", 1, "higher"),
  udp64strict: figure("throughput", "0.1 %", 1, "higher", "UDP 64, 0.1 %"),
  udp1350: figure("throughput", "UDP 1350, 1 %", 1, "higher"),
  udp1350strict: figure("throughput", "0.1 %", 1, "higher", "UDP 1350, 0.1 %"),
  pingCold: figure("latency", "ping cold", 0, "lower"),
  ping: figure("latency", "ping", 0, "lower"),
  pingP99: figure("latency", "p99", 0, "lower", "ping p99"),
  loadedPing: figure("latency", "ping loaded", 0, "lower"),
  loadedTcp: figure("latency", "TCP with it", 2, "higher", "TCP 4 cubic"),
  rr: figure("latency", "RR p50", 1, "lower"),
  rrP99: figure("latency", "RR p99", 1, "lower"),
  busy2Tcp: figure("beside busy processes", "TCP, 2 busy", 2, "higher"),
  busy2Ping: figure("beside busy processes", "ping, 2 busy", 0, "lower"),
  busy4Tcp: figure("beside busy processes", "TCP, 4 busy", 2, "higher"),
  busy4Ping: figure("beside busy processes", "ping, 4 busy", 0, "lower"),
  cpuCold: figure("cost", "cold s/GB", 2, "lower", "CPU s/GB cold"),
  cpu: figure("cost", "CPU s/GB", 2, "lower"),
  cpuRouters: figure("cost", "of routers", 2, "lower"),
  cpuPrograms: figure("cost", "of iperf3", 2, "lower"),
  cpuKernel: figure("cost", "of kernel", 2, "lower"),
  idle: figure("cost", "idle CPU %", 2, "lower"),
  rss: figure("cost", "RSS MB", 0, "lower"),
  start: figure("cost", "start s", 2, "lower"),
} as const satisfies Record<string, Figure>;

export type FigureName = keyof typeof FIGURES;
export const FIGURE_NAMES = Object.keys(FIGURES) as FigureName[];
export type Row = Partial<Record<FigureName, number>>;

/** One measurement of a figure; a noisy one was taken while others used the processors. */
export interface Value {
  readonly value: number;
  readonly noisy: boolean;
}

/** The middle of unsorted values; of none, NaN. */
export const middle = (values: readonly number[]): number => median(values.toSorted((a, b) => a - b));

/**
 * The median of those that are not noisy. If all are, it is the median of all, and noisy itself. Without a value undefined.
 */
export function settle(values: readonly Value[]): Value | undefined {
  if (values.length === 0) return undefined;
  const quiet = values.filter(({ noisy }) => !noisy);
  const used = quiet.length > 0 ? quiet : values;
  return { value: middle(used.map(({ value }) => value)), noisy: quiet.length === 0 };
}

export interface Best {
  readonly name: string;
  readonly value: number;
}

/** The best of some rows by a figure; undefined if none of them has it. */
export function best(rows: ReadonlyMap<string, Row>, name: FigureName): Best | undefined {
  let found: Best | undefined;
  const sign = FIGURES[name].better === "higher" ? 1 : -1;
  for (const [row, { [name]: value }] of rows) {
    if (value === undefined || Number.isNaN(value)) continue;
    if (found === undefined || sign * value > sign * found.value) found = { name: row, value };
  }
  return found;
}

/** `a` divided by `b`; undefined when one of them is missing or `b` is zero. */
export function ratio(a: number | undefined, b: number | undefined): number | undefined {
  const value = a === undefined || b === undefined ? Number.NaN : a / b;
  return Number.isFinite(value) ? value : undefined;
}

/** The value below which the share of sorted values is, as in `percentile(times, 0.99)`; of none, NaN. */
export const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
