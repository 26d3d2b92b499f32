/**
 * `npm run bench [-- --json FILE] [--rounds N] [--quick]`: the overlay against the bare wire, the kernel's VXLAN (not
 * encrypted) and what other overlays are installed, on two hosts of this machine, all in one run. Compare the ratios, not
 * the figures of different runs.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { option, requireLabs } from "#test/bench/bench.js";
import { type Overlay, otherOverlays, vxlan } from "#test/bench/overlays.js";
import { Lab } from "#test/lab/lab.js";
import { cpuSeconds, median, pingTimes, rssMegabytes, tcpGbits, udpKpps } from "#test/lab/measure.js";
import type { Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

const SECONDS = 4;
const IDLE_SECONDS = 20;

const COLUMNS = [
  "tcp1",
  "tcp4",
  "udp64",
  "reached64",
  "udp1350",
  "reached1350",
  "pingMs",
  "pingP99Ms",
  "loadPingMs",
  "cpuPerGb",
  "rssMb",
] as const;
type Column = (typeof COLUMNS)[number];
const TITLES: Readonly<Record<Column, string>> = {
  tcp1: "TCP 1",
  tcp4: "TCP 4",
  udp64: "UDP 64",
  reached64: "reached",
  udp1350: "UDP 1350",
  reached1350: "reached",
  pingMs: "ping p50",
  pingP99Ms: "p99",
  loadPingMs: "loaded",
  cpuPerGb: "CPU s/GB",
  rssMb: "RSS MB",
};
type Row = Record<Column, number>;

/** Ping while four TCP streams take all that there is, with the congestion control that most hosts have. */
async function loadedPing({ from, to, address }: Overlay): Promise<number> {
  const load = tcpGbits(from, to, address, { seconds: SECONDS, streams: 4, congestion: "cubic" });
  await sleep(1_500);
  const times = await pingTimes(from, address, 100);
  await load;
  return median(times);
}

async function measure(overlay: Overlay): Promise<Row> {
  const { from, to, address, pids } = overlay;
  await pingTimes(from, address, 50);
  const cpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const before = cpu();
  const tcp1 = await tcpGbits(from, to, address, { seconds: SECONDS });
  const used = cpu() - before;
  const tcp4 = await tcpGbits(from, to, address, { seconds: SECONDS, streams: 4 });
  const small = await udpKpps(from, to, address, 64);
  const large = await udpKpps(from, to, address, 1_350);
  const loadPingMs = await loadedPing(overlay);
  // Idle, but not as after a start: programs have been compiled, and tables are filled.
  await sleep(500);
  const times = await pingTimes(from, address, 300);
  return {
    tcp1,
    tcp4,
    udp64: small.read,
    reached64: small.reached,
    udp1350: large.read,
    reached1350: large.reached,
    pingMs: median(times),
    pingP99Ms: times[Math.floor(times.length * 0.99)],
    loadPingMs,
    cpuPerGb: pids.length === 0 ? Number.NaN : used / ((tcp1 * SECONDS) / 8),
    rssMb: pids.length === 0 ? Number.NaN : Math.max(...pids.map(rssMegabytes)),
  };
}

const middle = (rows: readonly Row[]): Row =>
  Object.fromEntries(
    COLUMNS.map((column) => [column, median(rows.map((row) => row[column]).sort((a, b) => a - b))]),
  ) as Row;

function printTable(rows: ReadonlyMap<string, Row>): void {
  const digits = (column: Column) => (column === "pingMs" || column === "pingP99Ms" || column === "loadPingMs" ? 3 : 2);
  console.log(`\n  ${"".padEnd(24)}${COLUMNS.map((column) => TITLES[column].padStart(10)).join("")}`);
  for (const [name, row] of rows) {
    const cells = COLUMNS.map((column) => (Number.isNaN(row[column]) ? "–" : row[column].toFixed(digits(column))));
    console.log(`  ${name.padEnd(24)}${cells.map((cell) => cell.padStart(10)).join("")}`);
  }
  console.log(
    "  TCP in Gbit/s with 1 and 4 streams; UDP floods of 64 and 1350 bytes, received, in thousands a second;",
  );
  console.log(
    "  ping in ms: idle, and while four streams run, with cubic; CPU of both routers for each GB of one stream.",
  );
}

/** Ours, between two containers, with what it took to get there. */
async function ours(lab: Lab): Promise<{ overlay: Overlay; launchMs: number[]; connectMs: number }> {
  const [h1, h2] = lab.hosts;
  const timed = async (run: () => Promise<unknown>) => {
    const began = performance.now();
    await run();
    return performance.now() - began;
  };
  // As the others: the largest packets that fit the wire.
  const launchMs = [await timed(() => h1.launch("--mtu", "1394")), await timed(() => h2.launch("--mtu", "1394"))];
  const from = await h1.attach("c", "10.32.0.1/12");
  const to = await h2.attach("c", "10.32.0.2/12");
  // Known to one another already: what is timed is the overlay, not ARP's pause of a second.
  const macOf = async (ns: Namespace) => (await ns.must("cat", "/sys/class/net/ethwe/address")).trim();
  await from.must("ip", "neighbour", "add", "10.32.0.2", "lladdr", await macOf(to), "dev", "ethwe");
  await to.must("ip", "neighbour", "add", "10.32.0.1", "lladdr", await macOf(from), "dev", "ethwe");
  const connectMs = await timed(async () => {
    await h2.ok("connect", h1.address);
    await until("the first ping", async () => (await from.ping("10.32.0.2", { count: 1, wait: 0.05 })) === 1);
  });
  const pids = [h1.routerPid!, h2.routerPid!];
  const name = "weave sleeve";
  return {
    overlay: { name, encrypted: true, userSpace: true, from, to, address: "10.32.0.2", pids },
    launchMs,
    connectMs,
  };
}

async function main(): Promise<void> {
  requireLabs();
  const rounds = Number(option("--rounds") ?? 3);
  const lab = await Lab.create(2);
  try {
    const [h1, h2] = lab.hosts;
    const { overlay: sleeve, launchMs, connectMs } = await ours(lab);
    const wire: Overlay = {
      name: "bare wire",
      encrypted: false,
      userSpace: false,
      from: h1,
      to: h2,
      address: h2.address,
      pids: [],
    };
    const kernel = await vxlan(lab);
    const { up, missing } = process.argv.includes("--quick") ? { up: [], missing: [] } : await otherOverlays(lab);
    for (const why of missing) console.log(`not measured: ${why}`);
    const congestion = (await h1.must("cat", "/proc/sys/net/ipv4/tcp_congestion_control")).trim();
    console.log(`congestion control: ${congestion}; medians of ${rounds} rounds, in each of which all are measured`);

    const measured = new Map<string, Row[]>();
    for (let round = 1; round <= rounds; round++) {
      for (const overlay of [wire, kernel, sleeve, ...up]) {
        const row = await measure(overlay);
        measured.set(overlay.name, [...(measured.get(overlay.name) ?? []), row]);
        console.log(`  round ${round}: ${overlay.name}: ${row.tcp1.toFixed(2)} Gbit/s, ${row.pingMs.toFixed(3)} ms`);
      }
    }
    const rows = new Map([...measured].map(([name, each]) => [name, middle(each)]));
    printTable(rows);

    const mine = rows.get(sleeve.name)!;
    const ratio: Record<string, number> = {
      "TCP 1 against kernel VXLAN": mine.tcp1 / rows.get(kernel.name)!.tcp1,
      "TCP 4 against kernel VXLAN": mine.tcp4 / rows.get(kernel.name)!.tcp4,
    };
    if (up.length > 0) {
      const others = up.map(({ name }) => rows.get(name)!);
      const best = (column: Column, pick: (...values: number[]) => number) => pick(...others.map((row) => row[column]));
      ratio["TCP 1 against the best peer"] = mine.tcp1 / best("tcp1", Math.max);
      ratio["UDP 64 against the best peer"] = mine.udp64 / best("udp64", Math.max);
      ratio["UDP 64 reached, against the best peer"] = mine.reached64 / best("reached64", Math.max);
      ratio["UDP 1350 reached, against the best"] = mine.reached1350 / best("reached1350", Math.max);
      ratio["UDP 1350 against the best peer"] = mine.udp1350 / best("udp1350", Math.max);
      ratio["idle ping against the best peer"] = mine.pingMs / best("pingMs", Math.min);
      ratio["loaded ping against the best peer"] = mine.loadPingMs / best("loadPingMs", Math.min);
    }
    console.log("");
    for (const [what, value] of Object.entries(ratio)) console.log(`  ${what.padEnd(36)} ${value.toFixed(2)}`);

    const pid = h1.routerPid!;
    await sleep(1_000);
    const before = cpuSeconds(pid);
    await sleep(IDLE_SECONDS * 1_000);
    const idlePercent = ((cpuSeconds(pid) - before) / IDLE_SECONDS) * 100;
    console.log(`\n  launch to ready             ${launchMs.map((ms) => ms.toFixed(0)).join(", ")} ms`);
    console.log(`  connect to first ping       ${connectMs.toFixed(0)} ms (two commands' start included)`);
    console.log(`  router, idle                ${idlePercent.toFixed(2)} % of a core (over ${IDLE_SECONDS} s)`);
    const file = option("--json");
    if (file !== undefined) {
      const report = { congestion, rounds, rows: Object.fromEntries(rows), ratio, launchMs, connectMs, idlePercent };
      writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
    }
  } finally {
    await lab.dispose();
  }
}

await main();
