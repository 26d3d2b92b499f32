/**
 * `npm run bench [-- --help]`: the overlay beside the bare wire, the kernel's VXLAN (not encrypted) and other overlays, on two hosts of
 * this machine, all in one run. Compare the ratios, not the figures of different runs.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { requireLabs } from "#test/bench/bench.js";
import { OwnGroup } from "#test/bench/control-group.js";
import { type FigureName, settle, type Value } from "#test/bench/figures.js";
import { QUICK, USUAL } from "#test/bench/measures.js";
import { HELP, type Options, parseOptions } from "#test/bench/options.js";
import { buildPeers, type Missing, type Overlay, overlays } from "#test/bench/overlays.js";
import { Probe } from "#test/bench/probe.js";
import { figureTables, LEGEND, type Medians, ratios, ratioTable, rowOf } from "#test/bench/report.js";
import { measureOverlay, type RoundResult, type Setting } from "#test/bench/round.js";
import { builtBundle } from "#test/lab/built-bundle.js";

/** An overlay that failed so often is not started again. */
const FAILURES = 2;

interface Round extends RoundResult {
  readonly round: number;
  readonly name: string;
  readonly seconds: number;
}

/** Every overlay in every round, in an order that begins with another one each time: what drifts in a round hurts all alike. */
async function measureAll(
  chosen: readonly Overlay[],
  options: Options,
  setting: Setting,
  missing: Missing[],
): Promise<Round[]> {
  const rounds: Round[] = [];
  const failed = new Map<Overlay, number>();
  const elapsed = () => performance.now() / 1_000;
  for (let round = 1; round <= options.rounds; round++) {
    for (let i = 0; i < chosen.length; i++) {
      const overlay = chosen[(i + round - 1) % chosen.length];
      if ((failed.get(overlay) ?? 0) >= FAILURES) continue;
      if (elapsed() > options.seconds) {
        console.log(
          `  stopped after ${options.seconds} s: ${overlay.name} and what follows in round ${round} are not measured`,
        );
        return rounds;
      }
      const began = performance.now();
      try {
        const result = await measureOverlay(overlay, setting);
        const seconds = (performance.now() - began) / 1_000;
        rounds.push({ round, name: overlay.name, seconds, ...result });
        const again = result.thrownAway.length > 0 ? `, thrown away as noisy: ${result.thrownAway.join(", ")}` : "";
        const { tcp1, ping } = result.values;
        const some = [tcp1 && `${tcp1.value.toFixed(2)} Gbit/s`, ping && `ping ${ping.value.toFixed(0)} µs`].filter(
          Boolean,
        );
        const load = `others used ${result.foreign.toFixed(2)} cores`;
        console.log(
          `  round ${round}: ${overlay.name}: ${[...some, `${seconds.toFixed(0)} s`, load].join(", ")}${again}`,
        );
      } catch (error) {
        failed.set(overlay, (failed.get(overlay) ?? 0) + 1);
        const reason = String(error).replaceAll("\n", " ").slice(0, 300);
        missing.push({ name: overlay.name, reason: `round ${round}: ${reason}` });
        console.log(`  round ${round}: ${overlay.name} failed: ${reason}`);
      }
    }
  }
  return rounds;
}

function medians(rounds: readonly Round[], name: string): Medians {
  const values = new Map<FigureName, Value[]>();
  for (const round of rounds.filter((each) => each.name === name))
    for (const [figure, value] of Object.entries(round.values) as [FigureName, Value][])
      values.set(figure, [...(values.get(figure) ?? []), value]);
  const settled = [...values].map(([figure, list]) => [figure, settle(list)] as const);
  return new Map(settled.filter((entry): entry is readonly [FigureName, Value] => entry[1] !== undefined));
}

function writeJson(file: string, results: ReadonlyMap<Overlay, Medians>, rest: object): void {
  const rows = [...results].map(([overlay, each]) => ({
    ...overlay,
    start: undefined,
    medians: rowOf(each),
    noisy: [...each].filter(([, { noisy }]) => noisy).map(([name]) => name),
  }));
  const all = [...results.keys()].filter(({ kind }) => kind === "ours");
  const divided = all.map((build) => [build.name, Object.fromEntries(ratios(build, results))]);
  writeFileSync(file, `${JSON.stringify({ ...rest, overlays: rows, ratios: Object.fromEntries(divided) }, null, 2)}\n`);
}

async function bench(options: Options, group: OwnGroup, folder: string): Promise<void> {
  const builds = new Map(options.ours);
  if (builds.size === 0 || options.only?.includes("ours") === true) {
    if (!builds.has("ours")) builds.set("ours", join(builtBundle(), "bin/weave"));
  }
  if (options.build) buildPeers(options.only ?? []);
  const { there, missing } = overlays(builds);
  const wanted = ({ name, kind }: Overlay) =>
    options.only === undefined || options.only.includes(name) || (kind === "ours" && options.ours.has(name));
  const chosen = there.filter(wanted);
  const absent = missing.filter(({ name }) => options.only === undefined || options.only.includes(name));
  for (const { name, reason } of absent) console.log(`not measured: ${name}: ${reason}`);
  for (const { name, layer, cipher, version } of chosen)
    console.log(`  ${name}: layer ${layer}, ${cipher} ${version}`.trimEnd());
  const congestion = readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
  console.log(`${cpus().length} cores, Linux ${release()}, Node ${process.version}; congestion control ${congestion}`);
  console.log(`${options.rounds} rounds of ${options.measures.join(", ")}`);
  const setting: Setting = {
    group,
    probe: await Probe.compile(folder),
    durations: options.quick ? QUICK : USUAL,
    measures: options.measures,
    noise: options.noise,
    repeatUntil: options.seconds * 1_000,
  };
  const rounds = await measureAll(chosen, options, setting, absent);
  const results = new Map(
    chosen.map((overlay) => [overlay, medians(rounds, overlay.name)] as const).filter(([, each]) => each.size > 0),
  );
  console.log(figureTables(results));
  for (const build of results.keys()) if (build.kind === "ours") console.log(ratioTable(build, results));
  console.log(LEGEND);
  const thrown = rounds.reduce((sum, { thrownAway }) => sum + thrownAway.length, 0);
  console.log(`  ${thrown} measures were thrown away and repeated, because others used the processors.`);
  if (options.json !== undefined) {
    const machine = { cores: cpus().length, model: cpus()[0]?.model, kernel: release(), node: process.version };
    writeJson(options.json, results, {
      machine,
      congestion,
      options: { ...options, ours: [...options.ours] },
      rounds,
      missing: absent,
    });
  }
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
  const group = new OwnGroup(`weave-bench-${process.pid}`);
  const folder = mkdtempSync(join(tmpdir(), "weave-bench-"));
  const clean = () => {
    group.remove();
    rmSync(folder, { recursive: true, force: true });
  };
  // Before labs remove their namespaces: these functions run in order.
  process.once("exit", clean);
  for (const [signal, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.once(signal, () => process.exit(status));
  await bench(options, group, folder);
}

await main();
