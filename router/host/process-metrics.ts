import { readdirSync, readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { EventLoopDelay } from "#router/host/event-loop-delay.js";
import type { Metric, MetricValue, Scrape } from "#router/service.js";
import { VERSION } from "#src/version.js";

/** Start of the process, in seconds since the Unix epoch. Read once: a step of the clock is no restart. */
const STARTED = Math.round(Date.now() / 1_000 - process.uptime());

const openFiles = (): number => readdirSync("/proc/self/fd").length;

/** The soft limit of open files. */
function maxOpenFiles(): number {
  const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

/** Bytes of address space: proc(5), `VmSize` in kB. */
const virtualBytes = (): number =>
  1_024 * Number(/^VmSize:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

const cpuTimes = () => process.cpuUsage();
const memory = () => process.memoryUsage();

/**
 * The process as all programs with Prometheus' client libraries describe it (`process_…`), the memory of Node.js, the event loop, and
 * the build. Memory and CPU time are those of all threads.
 */
export function processMetrics(delay: EventLoopDelay = new EventLoopDelay()): Metric[] {
  const gauge = (name: string, help: string, read: (scrape: Scrape) => MetricValue): Metric => ({
    ...{ name, help, type: "gauge", read },
  });
  const counter = (name: string, help: string, read: (scrape: Scrape) => MetricValue): Metric => ({
    ...{ name, help, type: "counter", read },
  });
  const cpu = (scrape: Scrape) => scrape.once(cpuTimes);
  return [
    {
      name: "weave_build_info",
      help: "The versions of this program and of Node.js; the value is 1.",
      type: "gauge",
      labels: ["version", "node"],
      read: () => [{ labels: { version: VERSION, node: process.version }, value: 1 }],
    },
    {
      name: "weave_event_loop_delay_seconds",
      help: "How late timers of the event loop are, four samples a second from the first scrape on.",
      type: "histogram",
      read: () => delay.read(),
    },
    counter(
      "weave_event_loop_busy_seconds_total",
      "Time for which the event loop has worked, and not waited.",
      () => performance.eventLoopUtilization().active / 1_000,
    ),
    counter(
      "process_cpu_seconds_total",
      "CPU time of the router, in user mode and in the kernel.",
      (scrape) => (cpu(scrape).user + cpu(scrape).system) / 1e6,
    ),
    counter("process_cpu_user_seconds_total", "CPU time in user mode.", (scrape) => cpu(scrape).user / 1e6),
    counter("process_cpu_system_seconds_total", "CPU time in the kernel.", (scrape) => cpu(scrape).system / 1e6),
    gauge("process_start_time_seconds", "Start of the process, since the Unix epoch.", () => STARTED),
    gauge("process_resident_memory_bytes", "Resident memory.", (scrape) => scrape.once(memory).rss),
    gauge("process_virtual_memory_bytes", "Address space.", virtualBytes),
    gauge("process_open_fds", "Number of open file descriptors.", openFiles),
    gauge("process_max_fds", "Maximum number of open file descriptors.", maxOpenFiles),
    gauge("nodejs_heap_size_total_bytes", "Heap of the event loop.", (scrape) => scrape.once(memory).heapTotal),
    gauge(
      "nodejs_heap_size_used_bytes",
      "The part of the event loop's heap in use.",
      (scrape) => scrape.once(memory).heapUsed,
    ),
    gauge(
      "nodejs_external_memory_bytes",
      "Memory of buffers outside of the heap.",
      (scrape) => scrape.once(memory).external,
    ),
  ];
}
