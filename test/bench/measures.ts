/** The measures of one overlay that was just started, in their order. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Bed, Ends } from "#test/bench/bed.js";
import type { ControlGroup } from "#test/bench/control-group.js";
import { percentile, type Row } from "#test/bench/figures.js";
import { cpuTimes } from "#test/bench/machine-load.js";
import type { Probe } from "#test/bench/probe.js";
import { median, pingTimes, tcpGbits } from "#test/lab/measure.js";

/** How long each measurement takes, in seconds, or so many pings. */
export interface Durations {
  /** Whole: iperf3 cuts the rest off. */
  readonly tcp: number;
  readonly warmUp: number;
  readonly pings: number;
  readonly roundTrips: number;
  /** Of each rate of a bisection, in ms. */
  readonly udpMs: number;
  readonly idle: number;
}

export const USUAL: Durations = { tcp: 3, warmUp: 4, pings: 200, roundTrips: 2, udpMs: 400, idle: 3 };
export const QUICK: Durations = { tcp: 2, warmUp: 2, pings: 100, roundTrips: 1, udpMs: 200, idle: 1 };

/** An overlay that runs, with what is needed to measure it. */
export interface Subject {
  readonly bed: Bed;
  readonly ends: Ends;
  readonly probe: Probe;
  /** The group of the benchmark itself. */
  readonly own: ControlGroup;
  readonly durations: Durations;
}

/** One stream begins before the pings do: queues are full then. */
const LOAD_MS = 1_000;
/** Cubic fills queues until they overflow, as most hosts do; this machine's default may be another one. */
const STREAMS = { streams: 4, congestion: "cubic" };
/** Shares of datagrams that may be lost. */
const LOSSES = [0.01, 0.001];
const MICROSECONDS = 1_000;

async function ping({ ends: { from, address } }: Subject, count: number): Promise<{ p50: number; p99: number }> {
  const times = await pingTimes(from, address, count);
  return { p50: median(times) * MICROSECONDS, p99: percentile(times, 0.99) * MICROSECONDS };
}

const tcp = ({ ends: { from, to, address }, durations }: Subject, options: Parameters<typeof tcpGbits>[3] = {}) =>
  tcpGbits(from, to, address, { seconds: durations.tcp, ...options });

/** One TCP stream, and the CPU time of all that it takes, in seconds for each 10^9 bytes. */
async function costlyTcp(subject: Subject, seconds: number) {
  const { bed, own } = subject;
  const used = () => ({
    routers: bed.routers.reduce((sum, group) => sum + group.cpuSeconds, 0),
    programs: bed.programs.cpuSeconds,
    kernel: cpuTimes(own).kernel,
  });
  const before = used();
  const gbits = await tcp(subject, { seconds });
  const after = used();
  const perGb = (key: keyof typeof before) => (after[key] - before[key]) / ((gbits * seconds) / 8);
  const [routers, programs, kernel] = [perGb("routers"), perGb("programs"), perGb("kernel")];
  return { gbits, routers, programs, kernel, all: routers + programs + kernel };
}

/** In the first three seconds: nothing has been sent yet but what proved that the overlay works. The first second of TCP alone. */
async function cold(subject: Subject): Promise<Row> {
  const { p50 } = await ping(subject, Math.min(100, subject.durations.pings));
  const { gbits, all } = await costlyTcp(subject, 1);
  return { pingCold: p50, tcpCold: gbits, cpuCold: all };
}

/** One stream, and four. */
async function throughput(subject: Subject): Promise<Row> {
  const one = await costlyTcp(subject, subject.durations.tcp);
  const { gbits: tcp1, all: cpu, routers: cpuRouters, programs: cpuPrograms, kernel: cpuKernel } = one;
  return { tcp1, cpu, cpuRouters, cpuPrograms, cpuKernel, tcp4: await tcp(subject, { streams: 4 }) };
}

async function loaded(subject: Subject): Promise<Row> {
  const load = tcp(subject, STREAMS);
  await sleep(LOAD_MS);
  // At most as long as the streams last.
  const count = Math.floor(((subject.durations.tcp * 1_000 - LOAD_MS) / 10) * 0.8);
  const [{ p50 }, loadedTcp] = await Promise.all([ping(subject, count), load]);
  return { loadedPing: p50, loadedTcp };
}

async function datagrams({ probe, ends, durations }: Subject): Promise<Row> {
  const rates = async (bytes: number) =>
    (await probe.lossless(ends, bytes, durations.udpMs, LOSSES)).map((rate) => rate / 1_000);
  const [udp64, udp64strict] = await rates(64);
  const [udp1350, udp1350strict] = await rates(1_350);
  return { udp64, udp64strict, udp1350, udp1350strict };
}

async function roundTrips({ probe, ends, durations }: Subject): Promise<Row> {
  const { p50, p99 } = await probe.roundTrips(ends, durations.roundTrips);
  return { rr: p50, rrP99: p99 };
}

async function idlePing(subject: Subject): Promise<Row> {
  // What the measure before has left in queues.
  await sleep(200);
  const { p50, p99 } = await ping(subject, subject.durations.pings);
  return { ping: p50, pingP99: p99 };
}

/** Beside processes that take all that the scheduler lets them have. */
async function busy(subject: Subject): Promise<Row> {
  const { probe, ends, durations } = subject;
  const beside = (count: number) =>
    probe.beside(count, ends.from, async () => {
      const gbits = await tcp(subject);
      const { p50 } = await ping(subject, durations.pings / 2);
      return { gbits, p50 };
    });
  const [two, four] = [await beside(2), await beside(4)];
  return { busy2Tcp: two.gbits, busy2Ping: two.p50, busy4Tcp: four.gbits, busy4Ping: four.p50 };
}

async function cost({ bed: { routers }, durations }: Subject): Promise<Row> {
  const before = routers.map((group) => group.cpuSeconds);
  await sleep(durations.idle * 1_000);
  const used = routers.map((group, i) => (group.cpuSeconds - before[i]) / durations.idle);
  return { idle: Math.max(...used) * 100, rss: Math.max(...routers.map((group) => group.rssMegabytes)) };
}

/** In this order: what must be cold comes first, memory last. */
export const MEASURES = { cold, tcp: throughput, loaded, udp: datagrams, rr: roundTrips, ping: idlePing, busy, cost };
export type MeasureName = keyof typeof MEASURES;
export const MEASURE_NAMES = Object.keys(MEASURES) as MeasureName[];
/** Those that need an overlay whose programs have been compiled and whose tables are filled. */
const WARM: ReadonlySet<MeasureName> = new Set(MEASURE_NAMES.filter((name) => name !== "cold"));
export const needsWarmth = (name: MeasureName): boolean => WARM.has(name);

/** Traffic of all kinds, for so long. */
export async function warmUp(subject: Subject): Promise<void> {
  const { ends, probe, durations } = subject;
  await tcpGbits(ends.from, ends.to, ends.address, { seconds: durations.warmUp });
  await probe.roundTrips(ends, durations.warmUp / 4);
  await pingTimes(ends.from, ends.address, 50);
}
