/**
 * `npm run bench:loss [-- --json FILE] [--rounds N]`: goodput of one TCP stream over a wire of packets (no segmentation
 * offload on the underlay) that loses some by chance, both ways, beside the kernel's VXLAN in clear under the same loss.
 * Rounds are interleaved; compare the ratios.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { benchLab, option } from "#test/bench/bench.js";
import { Beside, type Goodput } from "#test/bench/beside.js";
import { lose } from "#test/lab/transfer.js";

const LOSSES = [0, 0.1, 0.3, 1, 5];
const SECONDS = 4;
const PORTS = [6783, 4789];

async function main(): Promise<void> {
  const rounds = Number(option("--rounds") ?? 3);
  await benchLab(2, async (lab) => {
    const both = await Beside.create(lab);
    const results: (Goodput & { loss: number })[] = [];
    console.log(`TCP, one stream, Gbit/s; medians of ${rounds} interleaved rounds of ${SECONDS} s\n`);
    console.log("  congestion   loss   kernel VXLAN   weave sleeve   ratio   datagrams a record");
    for (const congestion of ["cubic", "bbr"]) {
      for (const loss of LOSSES) {
        await lose(loss / 100, PORTS, ...lab.hosts);
        const result = await both.measure(congestion, rounds, SECONDS);
        results.push({ ...result, loss });
        console.log(await both.line(`${loss} %`.padStart(6), result, 1));
      }
      await lose(0, PORTS, ...lab.hosts);
      await sleep(1_000);
    }
    const file = option("--json");
    if (file !== undefined) writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  });
}

await main();
