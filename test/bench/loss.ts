/**
 * `npm run bench:loss [-- --json FILE] [--rounds N]`: goodput of one TCP stream over a wire of packets (no segmentation
 * offload on the underlay) that loses some by chance, both ways, beside the kernel's VXLAN in clear under the same loss.
 * Rounds are interleaved; compare the ratios.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { option } from "#test/bench/options.js";
import { vxlan } from "#test/bench/overlays.js";
import { hostTestsImpossible, Lab, until } from "#test/lab/lab.js";
import { median, tcpGbits } from "#test/lab/measure.js";
import { lose, withoutOffloads } from "#test/lab/transfer.js";

const LOSSES = [0, 0.1, 0.3, 1, 5];
const SECONDS = 4;
const PORTS = [6783, 4789];

async function main(): Promise<void> {
  const impossible = hostTestsImpossible();
  if (impossible !== undefined) throw new Error(`the bench ${impossible}`);
  const rounds = Number(option("--rounds") ?? 3);
  const lab = await Lab.create(2);
  try {
    const [h1, h2] = lab.hosts;
    await h1.launch();
    await h2.launch();
    const from = await h1.attach("c", "10.32.0.1/12");
    const to = await h2.attach("c", "10.32.0.2/12");
    await h2.ok("connect", h1.address);
    await until("a ping is answered", async () => (await from.ping("10.32.0.2", { count: 1 })) === 1);
    const kernel = await vxlan(lab);
    await withoutOffloads(h1, h2);
    const results: { congestion: string; loss: number; kernel: number; sleeve: number; ratio: number }[] = [];
    console.log(`TCP, one stream, Gbit/s; medians of ${rounds} interleaved rounds of ${SECONDS} s\n`);
    console.log("  congestion   loss   kernel VXLAN   weave sleeve   ratio   datagrams a record");
    for (const congestion of ["cubic", "bbr"]) {
      for (const loss of LOSSES) {
        await lose(loss / 100, PORTS, h1, h2);
        // Both begin with what they have learnt of this path: the first run is thrown away.
        await tcpGbits(from, to, "10.32.0.2", { seconds: 3, congestion });
        const values = { kernel: [] as number[], sleeve: [] as number[] };
        for (let round = 0; round < rounds; round++) {
          values.kernel.push(await tcpGbits(kernel.from, kernel.to, kernel.address, { seconds: SECONDS, congestion }));
          values.sleeve.push(await tcpGbits(from, to, "10.32.0.2", { seconds: SECONDS, congestion }));
        }
        const middle = (list: number[]) => median(list.sort((a, b) => a - b));
        const result = { congestion, loss, kernel: middle(values.kernel), sleeve: middle(values.sleeve) };
        const ratio = result.sleeve / result.kernel;
        results.push({ ...result, ratio });
        const [path] = JSON.parse(await h1.report("{{json .Router.OverlayDiagnostics.sleeve}}"));
        const figures = [result.kernel, result.sleeve].map((value) => value.toFixed(3).padStart(12)).join("   ");
        console.log(
          `  ${congestion.padEnd(10)} ${`${loss} %`.padStart(6)}   ${figures}   ${ratio.toFixed(2).padStart(5)}   ${path.DatagramsPerRecord} (loss seen: ${path.LossPercent} %)`,
        );
      }
      await lose(0, PORTS, h1, h2);
      await sleep(1_000);
    }
    const file = option("--json");
    if (file !== undefined) writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  } finally {
    await lab.dispose();
  }
}

await main();
