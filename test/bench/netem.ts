/**
 * `npm run bench:netem [-- --rounds N]`: as bench:loss, on a line of 4 Mbit/s that delays, reorders and loses, as
 * tc-netem(8) makes it. It runs in an emulated machine (scripts/guest.sh), too slow for more; there the line is the limit.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { benchLab, option } from "#test/bench/bench.js";
import { Beside } from "#test/bench/beside.js";
import { impair } from "#test/lab/transfer.js";

const SECONDS = 6;
const MBIT = 1e-3;
/** A queue of 20 packets: 60 ms of this line. */
const LINE = ["rate", "4mbit", "limit", "20"];
const WIRES: readonly [name: string, ...netem: string[]][] = [
  ["no delay"],
  ["20 ms", "delay", "10ms"],
  ["20 ms, 5 % overtake", "delay", "10ms", "reorder", "5%"],
  ["20 ms, 0.3 % lost", "delay", "10ms", "loss", "0.3%"],
  ["20 ms, 1 % lost", "delay", "10ms", "loss", "1%"],
];
const WIDTH = 22;

async function main(): Promise<void> {
  const rounds = Number(option("--rounds") ?? 2);
  await benchLab(2, async (lab) => {
    const both = await Beside.create(lab);
    console.log(`TCP, one stream, Mbit/s; medians of ${rounds} interleaved rounds of ${SECONDS} s\n`);
    console.log(
      `  congestion ${"round trip".padEnd(WIDTH)}   kernel VXLAN   weave sleeve   ratio   datagrams a record`,
    );
    for (const congestion of ["cubic", "bbr"])
      for (const [wire, ...netem] of WIRES) {
        for (const host of lab.hosts) await impair(host, ...LINE, ...netem);
        await sleep(1_000);
        console.log(await both.line(wire.padEnd(WIDTH), await both.measure(congestion, rounds, SECONDS), MBIT));
      }
  });
}

await main();
