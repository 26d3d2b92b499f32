/**
 * `npm run bench:scrape [-- --peers 200 --rounds 100]`: how long a scrape takes with so many neighbours, the CPU time of it, and the size
 * of the page. The metrics are those of frames and process, with neighbours that are made up; Prometheus' text format is written for real.
 */
import { MetricsPage } from "#router/api/metrics.js";
import type { SessionFigures } from "#router/carriers/peer-session.js";
import type { Datapath } from "#router/datapath/datapath.js";
import { Tally } from "#router/datapath/protocol.js";
import { type FrameMetricsDeps, frameMetrics } from "#router/frames/metrics.js";
import { processMetrics } from "#router/host/process-metrics.js";
import { macFromNumber } from "#src/mac.js";
import { option } from "#test/bench/bench.js";
import { median } from "#test/lab/measure.js";

const peers = Number(option("--peers") ?? 200);
const rounds = Number(option("--rounds") ?? 100);

/** Their numbers are those of their names. */
const numbers = Array.from({ length: peers }, (_, index) => 0x020000000000 + index);
const counts = {
  carrierChanges: 1,
  rekeys: 12_345,
  sentExpected: 1e9,
  sentArrived: 1e9,
  receivedExpected: 1e9,
  receivedArrived: 1e9,
};
const figures = new Map<string, SessionFigures>(
  numbers.map((number) => [
    macFromNumber(number),
    { carrier: "sleeve", carriers: ["fastdp", "sleeve", "stream"], roundTripMs: 12.3456789, counts },
  ]),
);
const tally = new Tally();
const report: Awaited<ReturnType<Datapath["report"]>> = {
  ...{ macs: [], counters: tally.counters, drops: tally.drops, sourceClaims: [], macClaims: [] },
  loads: [{ busyMs: 123_456.789, waitedMs: 12_345.678 }],
  traffic: numbers.map((peer) => ({
    peer,
    recordsSent: 1e9,
    bytesSent: 1e12,
    recordsReceived: 1e9,
    bytesReceived: 1e12,
  })),
};
const connections = numbers.map((number, index) => ({
  remote: { name: macFromNumber(number), nickname: `host-${index}.example.org`, version: "0.1.0" },
  state: "established",
  wire: { buffered: 0 },
}));
const deps = {
  datapath: { report: async () => report },
  carriers: { figures: () => figures },
  mesh: { status: () => ({ connections }) },
  maxPeers: Number(option("--metrics-peers") ?? 200),
} as unknown as FrameMetricsDeps;

const page = new MetricsPage([{ name: "scraped", metrics: () => [...frameMetrics(deps), ...processMetrics()] }]);
const first = await page.text();
const times: number[] = [];
const cpuBefore = process.cpuUsage();
for (let round = 0; round < rounds; round++) {
  const begin = performance.now();
  await page.text();
  times.push(performance.now() - begin);
}
const { user, system } = process.cpuUsage(cpuBefore);
const series = first.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
const bytes = Buffer.byteLength(first);
console.log(`${peers} neighbours: ${series} series, ${bytes} bytes`);
console.log(
  `a scrape: ${median(times).toFixed(2)} ms (median of ${rounds}), ${((user + system) / 1_000 / rounds).toFixed(2)} ms of CPU time`,
);
