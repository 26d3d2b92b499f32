import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { assemblePageState } from "#router/page/state-assembly.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { pageNetwork } from "#test/lab/page-network.js";
import { servePage } from "#test/lab/page-server.js";
import { openPage, startBrowser } from "#test/page/browser.js";

/**
 * What the page weighs, and what an open one costs: `npm run bench:page`. The networks exist only for the page, and every figure changes
 * with each reading. The router's part has the document, its text and its sending, not the reading of a router's own parts.
 */

const SIZES = [30, 300];
/** Seconds of each measurement. */
const SECONDS = 20;
const PAGES = 50;

weigh();
const browser = await startBrowser();
for (const peers of SIZES) await measure(peers);
await browser.close();
process.exit(0);

function weigh(): void {
  const folder = join(ROOT, "dist/page");
  const files = readdirSync(folder)
    .filter((name) => name !== "files.json")
    .map((name) => readFileSync(join(folder, name)));
  const sum = (sizes: readonly number[]) => sizes.reduce((total, size) => total + size, 0);
  const packed = sum(files.map((file) => gzipSync(file).length));
  console.log(`weight: ${sum(files.map(({ length }) => length))} bytes in ${files.length} files, ${packed} compressed`);
}

async function measure(peers: number): Promise<void> {
  const network = pageNetwork({ peers, degree: Math.min(30, peers / 3) });
  const server = await servePage(() => {
    const at = performance.now();
    const traffic = network.frames!.traffic.map((each) => ({
      ...each,
      bytesSent: Math.round(each.bytesSent + at * 1_000),
      bytesReceived: Math.round(each.bytesReceived + at * 2_000),
    }));
    return assemblePageState({ ...network, at, frames: { ...network.frames!, traffic } });
  });
  const { page } = await openPage(browser, server.port);
  const paint = await page.evaluate<number>('performance.getEntriesByName("first-contentful-paint")[0].startTime');
  const shown = await page.evaluate<number>("performance.now()");
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  const busy = async () => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")!.value;
  };
  await sleep(5_000);
  const [cpu, before] = [process.cpuUsage(), await busy()];
  await sleep(SECONDS * 1_000);
  const inPage = ((await busy()) - before) / SECONDS;
  const own = cpuShare(cpu);
  await page.context().close();
  const many = await follow(server.port);
  console.log(
    `${peers} peers: first paint after ${paint.toFixed(0)} ms, complete after ${shown.toFixed(0)} ms; browser ${percent(inPage)} of a core; router ${percent(own)} of a core with one page, ${percent(many.cpu)} with ${PAGES}; ${(many.first / 1e3).toFixed(1)} kB first, then ${(many.rate / 1e3).toFixed(2)} kB/s a page`,
  );
  server.stop();
}

/** Opens many streams, and counts what one receives. */
async function follow(port: number): Promise<{ first: number; rate: number; cpu: number }> {
  const gone = new AbortController();
  let bytes = 0;
  const read = async (counted: boolean) => {
    const { body } = await fetch(`http://127.0.0.1:${port}/page/stream`, { signal: gone.signal });
    for await (const chunk of body!) if (counted) bytes += chunk.length;
  };
  for (let index = 0; index < PAGES; index++) read(index === 0).catch(() => {});
  await sleep(1_500);
  const first = bytes;
  const cpu = process.cpuUsage();
  await sleep(SECONDS * 1_000);
  const result = { first, rate: (bytes - first) / SECONDS, cpu: cpuShare(cpu) };
  gone.abort();
  return result;
}

/** The share of a core since then; of the streams' other ends, too, which are in this process. */
function cpuShare(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6 / SECONDS;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
