/**
 * `npm run bench:threads`: what more frame threads would carry, as far as the threads themselves limit it.
 *
 * Threads in one process, each in an isolate of its own as in a router, drive the real frame path with frames of all kinds that the warm-up
 * makes (router/datapath/warm-up.ts): captured, sealed, sent, received, opened, delivered, relayed. Their ports are sockets in memory, so that
 * neither a TAP's lock nor a network device nor a container's program is measured. One thread is compared with as many as there are
 * processors, in turns.
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { allowedOffloads } from "#router/datapath/offloads.js";
import { type WarmUpResult, warmUp } from "#router/datapath/warm-up.js";
import { middle } from "#test/bench/figures.js";

/** Enough for the time limit of a warm-up to end each. */
const CPU_MS = 10_000;
/** The first runs of a thread compile its code. */
const COLD_RUNS = 2;
const RUNS = 6;
const TURNS = 5;

const frames = ({ captured, delivered, relayed }: WarmUpResult): number => captured + delivered + relayed;

/** One run: frames per second. */
function rate(): number {
  const began = performance.now();
  const result = warmUp({ cpuMs: CPU_MS, offloads: allowedOffloads([]) });
  return (frames(result!) * 1_000) / (performance.now() - began);
}

/** Frames per second of threads that work at the same time. */
async function together(workers: readonly Worker[]): Promise<number> {
  const rates = workers.map(async (worker) => {
    worker.postMessage("run");
    const [each] = (await once(worker, "message")) as [number];
    return each;
  });
  return (await Promise.all(rates)).reduce((sum, each) => sum + each, 0);
}

async function main(): Promise<void> {
  const count = availableParallelism();
  if (count < 2) throw new Error("one processor: nothing to compare");
  const workers = Array.from({ length: count }, () => new Worker(new URL(import.meta.url)));
  await together(workers);
  const one: number[] = [];
  const all: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    one.push(await together(workers.slice(0, 1)));
    all.push(await together(workers));
  }
  for (const worker of workers) await worker.terminate();
  const thousands = (value: number) => `${(value / 1_000).toFixed(0)} thousand frames/s`;
  console.log(`1 thread                ${thousands(middle(one))}`);
  console.log(`${count} threads               ${thousands(middle(all))}`);
  console.log(`ratio                   ${(middle(all) / middle(one)).toFixed(2)}`);
}

if (isMainThread) await main();
else {
  for (let run = 0; run < COLD_RUNS; run++) rate();
  parentPort!.on("message", () => parentPort!.postMessage(middle(Array.from({ length: RUNS }, rate))));
}
