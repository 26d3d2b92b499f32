/**
 * `npm run bench:relay [-- --rekey]`: TCP between two hosts that only meet in a third, which passes their frames on; and,
 * if asked for (it takes more than two minutes), a steady flow of UDP across a change of keys.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { benchLab } from "#test/bench/bench.js";
import { median, pingTimes, tcpGbits } from "#test/lab/measure.js";
import { until } from "#test/lab/wait.js";

const ROUNDS = 3;
/** Longer than the life of a key (REKEY_MS). */
const REKEY_SECONDS = 130;

async function main(): Promise<void> {
  await benchLab(3, async (lab) => {
    const [h1, middle, h3] = lab.hosts;
    for (const host of lab.hosts) await host.launch("--no-discovery");
    const from = await h1.attach("c", "10.32.0.1/12");
    const to = await h3.attach("c", "10.32.0.3/12");
    await h1.ok("connect", middle.address);
    await h3.ok("connect", middle.address);
    await until("a ping is answered", async () => (await from.ping("10.32.0.3", { count: 1 })) === 1);
    await sleep(2_000);
    for (const streams of [1, 4]) {
      const values: number[] = [];
      for (let i = 0; i < ROUNDS; i++) values.push(await tcpGbits(from, to, "10.32.0.3", { seconds: 4, streams }));
      console.log(
        `  relayed TCP, ${streams} stream${streams > 1 ? "s" : ""}: ${median(values.sort((a, b) => a - b)).toFixed(2)} Gbit/s`,
      );
    }
    console.log(`  relayed ping: ${median(await pingTimes(from, "10.32.0.3")).toFixed(3)} ms`);
    console.log(`  records relayed: ${await middle.report("{{.Router.CaptureStats.recordsRelayed}}")}`);
    if (!process.argv.includes("--rekey")) return;
    const epochs = () => h1.report("{{range .Router.OverlayDiagnostics.sleeve}}{{.KeyEpoch}} {{end}}");
    const before = await epochs();
    const server = to.spawn(["iperf3", "-s", "-1", "-p", "5201"]);
    await sleep(300);
    const flow = ["iperf3", "-J", "-c", "10.32.0.3", "-u", "-b", "100M", "-l", "1000", "-t", String(REKEY_SECONDS)];
    const child = from.spawn(flow);
    let stdout = "";
    child.stdout!.on("data", (chunk: Buffer) => {
      stdout += chunk;
    });
    await new Promise((resolve) => child.once("close", resolve));
    server.kill("SIGKILL");
    const { sum } = JSON.parse(stdout).end;
    console.log(`  keys before and after (epoch): ${before}→ ${await epochs()}`);
    console.log(`  UDP across the change: ${sum.packets} sent, ${sum.lost_packets} lost`);
  });
}

await main();
