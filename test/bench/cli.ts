/**
 * `npm run bench:cli [-- --rounds 20 --containers 10 --node PATH]`: how long commands take, from the checkout (dist/) and from
 * the bundle, and how long a launch takes until the router is ready. Rounds alternate, so that all rows meet the same load;
 * `node -e 0` is the part of Node.js itself.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { benchLab, option } from "#test/bench/bench.js";
import { builtBundle } from "#test/lab/built-bundle.js";
import { type Host, WEAVE } from "#test/lab/host.js";
import { median } from "#test/lab/measure.js";

/** Launches are slow; so many are enough for a median. */
const LAUNCHES = 7;

/** Times of a row in ms. */
type Times = number[];

/** The exit status of `weave doctor` that has found something: it has looked at everything as well. */
const FOUND = 2;

/** Runs a program on a host, and returns how long it took, in ms. @throws Error when it failed */
function timed(host: Host, command: readonly string[]): number {
  const begin = performance.now();
  const { status, error } = spawnSync("ip", ["netns", "exec", host.ns, ...command], {
    env: { ...process.env, ...host.environment },
    stdio: "ignore",
  });
  const took = performance.now() - begin;
  if (status === 0 || (status === FOUND && command.at(-1) === "doctor")) return took;
  throw error ?? new Error(`${command.join(" ")} ended with ${status}`);
}

/** Median and minimum. */
function shown(times: Times): string {
  const sorted = times.toSorted((a, b) => a - b);
  return [median(sorted), sorted[0]].map((ms) => ms.toFixed(0).padStart(6)).join("");
}

async function main(): Promise<void> {
  const rounds = Number(option("--rounds") ?? 20);
  const containers = Number(option("--containers") ?? 10);
  const node = option("--node") ?? process.execPath;
  const programs = { dist: WEAVE, bundle: join(builtBundle(), "bin/weave") };
  const kinds = Object.keys(programs) as (keyof typeof programs)[];
  const commands = ["version", "status", "ps", "doctor"];
  const columns = (of: (kind: keyof typeof programs) => Times) => kinds.map((kind) => shown(of(kind))).join("   ");

  await benchLab(1, async ({ hosts: [host] }) => {
    const launches = { dist: [] as Times, bundle: [] as Times };
    for (let round = 0; round < LAUNCHES; round++)
      for (const kind of kinds) {
        host.weaveCommand = [node, programs[kind]];
        launches[kind].push(timed(host, [...host.weaveCommand, "launch", "--name", host.peerName]));
        await host.ok("stop");
      }
    await host.launch();
    for (let n = 1; n <= containers; n++) await host.attach(`c${n}`, `10.32.0.${n}/12`);

    const base: Times = [];
    const times = Object.fromEntries(commands.map((name) => [name, { dist: [] as Times, bundle: [] as Times }]));
    for (let round = 0; round < rounds; round++) {
      base.push(timed(host, [node, "-e", "0"]));
      for (const name of commands)
        for (const kind of kinds) times[name][kind].push(timed(host, [node, programs[kind], name]));
    }
    const { stdout: version } = await host.run(node, "--version");
    console.log(
      `Node.js ${version.trim()}, ${containers} containers; ms: median and minimum of ${rounds} (launch: ${LAUNCHES})`,
    );
    console.log(`${"".padEnd(14)}${kinds.map((kind) => kind.padStart(12)).join("   ")}`);
    console.log(`${"node -e 0".padEnd(14)}${shown(base)}`);
    for (const name of commands) console.log(`${`weave ${name}`.padEnd(14)}${columns((kind) => times[name][kind])}`);
    console.log(`${"weave launch".padEnd(14)}${columns((kind) => launches[kind])}`);
  });
}

await main();
