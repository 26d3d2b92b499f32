/**
 * `npm run bench [-- --help]`: the overlay beside the bare wire, the kernel's VXLAN (not encrypted) and other overlays, on two hosts of
 * this machine, all in one run. Compare the ratios, not the figures of different runs.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { requireLabs } from "#test/bench/bench.js";
import { OwnGroup } from "#test/bench/control-group.js";
import { QUICK, USUAL } from "#test/bench/measures.js";
import { HELP, type Options, parseOptions } from "#test/bench/options.js";
import { buildPeers, type Missing, type Overlay, overlays } from "#test/bench/overlays.js";
import { Probe } from "#test/bench/probe.js";
import { Results } from "#test/bench/results.js";
import { measureOverlay, type RoundResult, type Setting } from "#test/bench/round.js";
import { builtBundle } from "#test/lab/built-bundle.js";

/** An overlay that failed so often is not started again. */
const FAILURES = 2;

/** One line about an overlay's part of a round. */
function summary({ values: { tcp1, ping }, foreign, thrownAway }: RoundResult, seconds: number): string {
  const parts = [`${seconds.toFixed(0)} s`, `others used ${foreign.toFixed(2)} cores`];
  if (ping !== undefined) parts.unshift(`ping ${ping.value.toFixed(0)} µs`);
  if (tcp1 !== undefined) parts.unshift(`${tcp1.value.toFixed(2)} Gbit/s`);
  if (thrownAway.length > 0) parts.push(`thrown away as noisy: ${thrownAway.join(" ")}`);
  return parts.join(", ");
}

/** Every overlay in every round, in an order that begins with another one each time: what drifts in a round hurts all alike. */
async function measureAll(
  chosen: readonly Overlay[],
  { rounds, seconds }: Options,
  setting: Setting,
  results: Results,
): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    for (let i = 0; i < chosen.length; i++) {
      const overlay = chosen[(i + round - 1) % chosen.length];
      const { name } = overlay;
      if (results.failures(overlay) >= FAILURES) continue;
      const began = performance.now();
      if (began > setting.repeatUntil) {
        console.log(`  stopped after ${seconds} s: ${name} and what follows in round ${round} are not measured`);
        return;
      }
      try {
        const result = await measureOverlay(overlay, setting);
        const took = (performance.now() - began) / 1_000;
        results.add({ round, name, seconds: took, ...result });
        console.log(`  round ${round}: ${name}: ${summary(result, took)}`);
      } catch (error) {
        const reason = String(error).replaceAll("\n", " ").slice(0, 300);
        results.failed({ name, reason: `round ${round}: ${reason}` });
        console.log(`  round ${round}: ${name} failed: ${reason}`);
      }
    }
  }
}

/** The overlays that are wanted and there; the others are printed with the reason. */
function choose({ only, ours, build }: Options): { chosen: Overlay[]; missing: Missing[] } {
  const wanted = (name: string) => only === undefined || ours.has(name) || only.includes(name);
  // This build first: others are compared with it.
  const program = wanted("ours") || wanted("fastdp") ? join(builtBundle(), "bin/weave") : undefined;
  const own = program !== undefined && wanted("ours") ? [["ours", program] as const] : [];
  if (build) buildPeers(only ?? []);
  const { there, missing } = overlays(new Map([...own, ...ours]), program);
  return {
    chosen: there.filter(({ name }) => wanted(name)),
    missing: missing.filter(({ name }) => wanted(name)),
  };
}

async function bench(options: Options, group: OwnGroup, folder: string): Promise<void> {
  const { chosen, missing } = choose(options);
  for (const { name, reason } of missing) console.log(`not measured: ${name}: ${reason}`);
  for (const { name, layer, cipher, version } of chosen)
    console.log(`  ${name}: layer ${layer}, ${cipher} ${version}`.trimEnd());
  const congestion = readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
  const machine = { cores: cpus().length, model: cpus()[0]?.model, kernel: release(), node: process.version };
  console.log(
    `${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}; congestion control ${congestion}`,
  );
  console.log(`${options.rounds} rounds of ${options.measures.join(", ")}`);
  const results = new Results(chosen, missing);
  const show = () => {
    console.log(String(results));
    const { json, ours } = options;
    if (json !== undefined) results.write(json, { machine, congestion, options: { ...options, ours: [...ours] } });
  };
  // What was measured until then is not lost, also when the signal comes twice, as from timeout(1) and a terminal.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, show);
  const setting: Setting = {
    group,
    probe: await Probe.compile(folder),
    durations: options.quick ? QUICK : USUAL,
    measures: options.measures,
    noise: options.noise,
    repeatUntil: performance.now() + options.seconds * 1_000,
  };
  await measureAll(chosen, options, setting, results);
  show();
}

/** Removes what the benchmark made, however it ends. */
function prepare(): { group: OwnGroup; folder: string } {
  const group = new OwnGroup(`weave-bench-${process.pid}`);
  const folder = mkdtempSync(join(tmpdir(), "weave-bench-"));
  // Before labs remove their namespaces: these functions run in order.
  process.once("exit", () => {
    group.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  // After what is shown then.
  for (const [signal, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.on(signal, () => setImmediate(() => process.exit(status)));
  return { group, folder };
}

async function main(): Promise<void> {
  let options: Options | "help";
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exitCode = 2;
    return;
  }
  if (options === "help") return console.log(HELP);
  requireLabs();
  const { group, folder } = prepare();
  await bench(options, group, folder);
}

await main();
