/**
 * `npm run bench:upgrade [-- --rounds 5 --way restart --pair --time-line]`: how long traffic between two containers is interrupted when
 * the router of one host is replaced, as for an upgrade, or ends. Medians; 5 ms between pings. `--way` measures one way alone, `--pair`
 * leaves out the network of three hosts, `--time-line` prints the log of the routers beside the interruption.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { benchLab, option } from "#test/bench/bench.js";
import type { Host } from "#test/lab/host.js";
import { type Interruption, Traffic } from "#test/lab/interruption.js";
import type { Lab } from "#test/lab/lab.js";
import { median } from "#test/lab/measure.js";
import type { Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

const SETTLE_MS = 1_500;
const timeLine = process.argv.includes("--time-line");

/** How the router of a host is replaced. @param peers the peers that the host itself dials */
type Replace = (host: Host, peers: readonly string[]) => Promise<void>;

const WAYS: Readonly<Record<string, Replace>> = {
  "stop, launch": async (host, peers) => {
    await host.ok("stop");
    await host.launch(...LAUNCH, ...peers);
  },
  restart: async (host) => void (await host.ok("restart")),
  "kill -9": async (host) => {
    const before = host.routerPid!;
    process.kill(before, "SIGKILL");
    await until("the router is restarted", () => host.routerPid !== undefined && host.routerPid !== before);
  },
};

const LAUNCH = ["--no-discovery", ...(timeLine ? ["--log-level", "debug"] : [])];

async function main(): Promise<void> {
  const rounds = Number(option("--rounds") ?? 5);
  const only = option("--way");
  const pairOnly = process.argv.includes("--pair");
  const ways = Object.entries(WAYS).filter(([way]) => only === undefined || way === only);
  console.log(`Interruption in ms, median (longest) of ${rounds}\n`);
  console.log("  hosts   the replaced router   way             ping          TCP           lost TCP connections");
  await benchLab(2, async (lab) => {
    const [h1, h2] = lab.hosts;
    await h1.launch(...LAUNCH);
    await h2.launch(...LAUNCH, h1.address);
    const [c1, c2] = [await h1.attach("c", "10.32.0.1/12"), await h2.attach("c", "10.32.0.2/12")];
    await reached(c1, "10.32.0.2");
    for (const [way, replace] of ways) {
      await measured(
        { lab, rounds, label: `2       dials                 ${way.padEnd(14)}` },
        c1,
        c2,
        "10.32.0.2",
        () => replace(h2, [h1.address]),
      );
      await measured(
        { lab, rounds, label: `2       is dialled            ${way.padEnd(14)}` },
        c1,
        c2,
        "10.32.0.2",
        () => replace(h1, []),
      );
    }
  });
  if (pairOnly) return;
  await benchLab(3, async (lab) => {
    const [h1, middle, h3] = lab.hosts;
    for (const host of lab.hosts) await host.launch(...LAUNCH);
    for (const host of [h1, h3]) await host.ok("connect", middle.address);
    const [c1, c3] = [await h1.attach("c", "10.32.0.1/12"), await h3.attach("c", "10.32.0.3/12")];
    await reached(c1, "10.32.0.3");
    for (const [way, replace] of ways)
      await measured(
        { lab, rounds, label: `3       relays                ${way.padEnd(14)}` },
        c1,
        c3,
        "10.32.0.3",
        () => replace(middle, []),
      );
  });
}

async function measured(
  { lab, rounds, label }: { lab: Lab; rounds: number; label: string },
  from: Namespace,
  to: Namespace,
  address: string,
  replace: () => Promise<void>,
): Promise<void> {
  const results: Interruption[] = [];
  for (let round = 0; round < rounds; round++) {
    const traffic = await Traffic.start(from, to, address);
    try {
      await sleep(SETTLE_MS);
      const [logs, began] = [lab.hosts.map((host) => host.log().length), Date.now()];
      await replace();
      const ended = Date.now();
      await reached(from, address);
      for (const host of lab.hosts) await connected(host, host === lab.hosts[1] && lab.hosts.length === 3 ? 2 : 1);
      await sleep(SETTLE_MS);
      const result = await traffic.end();
      results.push(result);
      if (timeLine) printTimeLine(lab, logs, began, ended, result);
    } finally {
      traffic.kill();
    }
  }
  const figures = (of: (each: Interruption) => number) => {
    const values = results.map(of).sort((a, b) => a - b);
    return `${Math.round(median(values))} (${values.at(-1)})`.padEnd(14);
  };
  const lost = results.reduce((sum, { connections }) => sum + connections - 1, 0);
  console.log(`  ${label}  ${figures(({ pingMs }) => pingMs)}${figures(({ tcpMs }) => tcpMs)}${lost}`);
}

const reached = (from: Namespace, address: string) =>
  until("a ping is answered", async () => (await from.ping(address, { count: 1, wait: 0.5 })) === 1, 30_000);

function printTimeLine(lab: Lab, logs: readonly number[], began: number, ended: number, result: Interruption): void {
  const lines = lab.hosts.flatMap((host, i) =>
    host
      .log()
      .slice(logs[i])
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const { time, msg, level: _, ...fields } = JSON.parse(line) as Record<string, string>;
        return { at: Date.parse(time), text: `${host.name}: ${msg} ${JSON.stringify(fields)}` };
      }),
  );
  lines.push(
    { at: began, text: "the command begins" },
    { at: ended, text: "the command has ended" },
    { at: result.from, text: "── last answer ──" },
    { at: result.to, text: "── first answer ──" },
  );
  for (const { at, text } of lines.sort((a, b) => a.at - b.at))
    console.log(`${(at - result.from).toFixed(0).padStart(7)} ms  ${text.slice(0, 200)}`);
}

await main();
