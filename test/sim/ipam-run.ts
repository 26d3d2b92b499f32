/**
 * `npm run sim`: many schedules of the IPAM simulator, on all cores. A failing one is printed with the command that
 * replays it alone.
 *
 *     npm run sim                                     6,000 `faults`, 2,000 each of `disks`, `mistakes`, `hostile`
 *     npm run sim -- --class disks --count 50000      more of one class
 *     npm run sim -- --class faults --seed 4711       one schedule, with its trace if it fails
 *     npm run sim -- --peers 100 --count 20           so many peers in each
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type Class, runSchedule } from "./ipam-schedule.js";

const MIX: Readonly<Record<Class, number>> = { faults: 6_000, disks: 2_000, mistakes: 2_000, hostile: 2_000 };

interface Job {
  readonly kind: Class;
  readonly seed: number;
  readonly peers: number | undefined;
}

interface Outcome {
  readonly job: Job;
  readonly grants: number;
  readonly doubles: number;
  readonly violation: string | undefined;
}

async function runJob(job: Job): Promise<Outcome> {
  try {
    const { grants, doubles } = await runSchedule(job.seed, job.kind, job.peers);
    return { job, grants, doubles: doubles.size, violation: undefined };
  } catch (error) {
    return { job, grants: 0, doubles: 0, violation: error instanceof Error ? error.message : String(error) };
  }
}

function jobsOf(): Job[] {
  const { values } = parseArgs({
    options: {
      class: { type: "string" },
      seed: { type: "string" },
      count: { type: "string" },
      peers: { type: "string" },
    },
  });
  const kinds = Object.keys(MIX) as Class[];
  if (values.class !== undefined && !kinds.includes(values.class as Class))
    throw new Error(`--class must be one of ${kinds.join(", ")}`);
  const peers = values.peers === undefined ? undefined : Number(values.peers);
  const first = Number(values.seed ?? 0);
  return kinds
    .filter((kind) => values.class === undefined || kind === values.class)
    .flatMap((kind) => {
      const count = Number(values.count ?? (values.seed === undefined ? MIX[kind] : 1));
      return Array.from({ length: count }, (_, i) => ({ kind, seed: first + i, peers }));
    });
}

async function main(): Promise<void> {
  const jobs = jobsOf();
  const total = jobs.length;
  const began = performance.now();
  const counts = { done: 0, grants: 0, doubles: 0, failed: 0 };
  const take = (outcome: Outcome) => {
    counts.done++;
    counts.grants += outcome.grants;
    counts.doubles += outcome.doubles;
    if (outcome.violation !== undefined) {
      counts.failed++;
      const { kind, seed, peers } = outcome.job;
      console.log(
        `${outcome.violation}\n  replay: npm run sim -- --class ${kind} --seed ${seed}${peers ? ` --peers ${peers}` : ""}\n`,
      );
    }
    if (counts.done % 1_000 === 0) console.log(`${counts.done} of ${total} schedules, ${counts.failed} failed`);
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), total) }, () => work(jobs, take)));
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);
  console.log(
    `${counts.done} schedules, ${counts.grants} addresses handed out, ${counts.failed} violations, ${seconds} s` +
      ` (${counts.doubles} addresses held twice where operators made mistakes: named in status each time)`,
  );
  if (counts.failed > 0) process.exitCode = 1;
}

/** One worker, fed job by job. */
function work(jobs: Job[], take: (outcome: Outcome) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: "ipam" });
    const feed = () => worker.postMessage(jobs.shift());
    worker.on("message", (outcome: Outcome) => {
      take(outcome);
      feed();
    });
    worker.on("error", reject);
    worker.on("exit", () => resolve());
    feed();
  });
}

if (isMainThread) await main();
else if (workerData === "ipam") {
  parentPort!.on("message", async (job: Job | undefined) => {
    if (job === undefined) parentPort!.close();
    else parentPort!.postMessage(await runJob(job));
  });
}
