/**
 * `npm run bench:mesh [-- --hosts 30 --profile FILE --apart 0]`: time and CPU time until so many routers that start at the same time are a full
 * mesh: every connection established, and at every router a route to every other. The program is the bundle, as users have it. CPU
 * times are those of the router processes alone, also apart: until a router without peers is ready, and from then on. `--profile` writes a CPU profile of the last one;
 * `--apart MS` delays each launch after the one before.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { call } from "#cli/support/client.js";
import { controlSocket } from "#src/paths.js";
import { benchLab, option } from "#test/bench/bench.js";
import { builtBundle } from "#test/lab/built-bundle.js";
import type { Host } from "#test/lab/host.js";
import type { Lab } from "#test/lab/lab.js";
import { type CpuParts, cpuParts, cpuSeconds, rssMegabytes } from "#test/lab/measure.js";
import { inRouter, launchWith } from "#test/lab/router-process.js";

const HOSTS = 30;
const POLL_MS = 250;
const TIMEOUT_MS = 600_000;

/** The parts of a router's report that say whether the mesh is complete. */
interface Report {
  readonly Router: {
    readonly Peers: readonly { readonly Connections: readonly { readonly Established: boolean }[] }[];
    readonly UnicastRoutes: readonly unknown[];
  };
}

async function reportOf(host: Host): Promise<Report["Router"]> {
  const { body } = await call({ path: "/report", accept: "application/json", address: controlSocket(host.runDir) });
  return (JSON.parse(body) as Report).Router;
}

const links = (report: Report["Router"]): number =>
  report.Peers.flatMap(({ Connections }) => Connections).filter(({ Established }) => Established).length;

/** Records where a router spends its time; SIGUSR2 writes it. */
const profiled = (file: string) =>
  inRouter(
    `const { Session } = await import("node:inspector"); const { writeFileSync } = await import("node:fs");
     const session = new Session(); session.connect(); session.post("Profiler.enable"); session.post("Profiler.start");
     process.on("SIGUSR2", () => session.post("Profiler.stop", (_, { profile }) => writeFileSync(${JSON.stringify(file)}, JSON.stringify(profile))));`,
  );

/** The event loop's part, and that of all other threads (frame threads, V8's, the database's), each with the kernel's share. */
function partsText(all: readonly CpuParts[]): string {
  const of = (value: (each: CpuParts) => number) => mean(all.map(value)).toFixed(2);
  const loop = `event loop ${of(({ eventLoop: { user, system } }) => user + system)} s (kernel ${of(({ eventLoop }) => eventLoop.system)})`;
  const rest = of((each) => each.user + each.system - each.eventLoop.user - each.eventLoop.system);
  return `${loop}, other threads ${rest} s (kernel ${of((each) => each.system - each.eventLoop.system)})`;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const spread = (values: readonly number[], unit: string, digits = 1) =>
  `${mean(values).toFixed(digits)} ${unit} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`;

/** CPU time until a router without peers is ready, and its memory. */
async function alone(lab: Lab): Promise<{ cpu: number; parts: CpuParts; rss: number }> {
  const [first] = lab.hosts;
  await first.launch();
  const pid = first.routerPid!;
  const measured = { cpu: cpuSeconds(pid), parts: cpuParts(pid), rss: rssMegabytes(pid) };
  await first.ok("stop");
  return measured;
}

async function launchAll({ hosts }: Lab): Promise<void> {
  const [first] = hosts;
  const profile = option("--profile");
  const apart = Number(option("--apart") ?? 0);
  await Promise.all(
    hosts.map(async (host, index) => {
      await sleep(index * apart);
      const env = profile !== undefined && host === hosts.at(-1) ? profiled(profile) : {};
      const { code, stderr } = await launchWith(host, env, ...(host === first ? [] : [first.address]));
      assert.equal(code, 0, stderr);
    }),
  );
}

/** Waits until the first router knows of every connection that both ends have it. Only that one is asked: answers cost CPU time. */
async function fullMesh(lab: Lab, began: number): Promise<void> {
  const count = lab.hosts.length;
  const wanted = count * (count - 1);
  let shown = 0;
  for (;;) {
    const report = await reportOf(lab.hosts[0]);
    const now = links(report);
    if (now === wanted) break;
    const seconds = (performance.now() - began) / 1_000;
    if (seconds >= shown + 5) {
      shown = seconds;
      console.log(`  ${seconds.toFixed(0)} s: ${now / 2} of ${wanted / 2} connections`);
    }
    if (seconds * 1_000 > TIMEOUT_MS) throw new Error(`${now} of ${wanted} ends of connections are established`);
    await sleep(POLL_MS);
  }
}

async function main(): Promise<void> {
  const count = Number(option("--hosts") ?? HOSTS);
  const program = join(builtBundle(), "bin/weave");
  await benchLab(count, async (lab) => {
    for (const host of lab.hosts) host.weaveCommand = [program];
    const start = await alone(lab);
    const began = performance.now();
    const since = () => ((performance.now() - began) / 1_000).toFixed(1);
    const launched = launchAll(lab).then(since);
    const ready = await launched;
    await fullMesh(lab, began);
    const complete = since();
    const pids = lab.hosts.map((host) => host.routerPid!);
    const cpu = pids.map(cpuSeconds);
    const parts = pids.map(cpuParts);
    const rss = pids.map(rssMegabytes);
    await sleep(1_000);
    for (const host of lab.hosts) {
      const report = await reportOf(host);
      assert.equal(links(report), count * (count - 1), `${host.name} does not know all connections`);
      assert.equal(report.UnicastRoutes.length, count, `${host.name} lacks routes`);
    }
    if (option("--profile") !== undefined) {
      process.kill(pids.at(-1)!, "SIGUSR2");
      await sleep(3_000);
    }
    console.log(`${count} routers, started at the same time:`);
    console.log(
      `  all launched after ${ready} s, a full mesh of ${(count * (count - 1)) / 2} connections after ${complete} s`,
    );
    console.log(`  CPU of each router until then: ${spread(cpu, "s", 2)}`);
    console.log(
      `  of it for its start without peers: ${start.cpu.toFixed(2)} s; for the mesh: ${(mean(cpu) - start.cpu).toFixed(2)} s`,
    );
    console.log(`  in all: ${partsText(parts)}; of the start: ${partsText([start.parts])}`);
    console.log(`  memory (RSS) of each: ${spread(rss, "MB", 0)}; of one without peers ${start.rss.toFixed(0)} MB`);
    await Promise.all(lab.hosts.map((host) => host.weave("stop")));
    const file = option("--json");
    if (file !== undefined) writeFileSync(file, JSON.stringify({ count, ready, complete, cpu, parts, rss, start }));
  });
}

await main();
