import { spawnSync } from "node:child_process";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Page } from "playwright-core";
import { assemblePageState } from "#router/page/state-assembly.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { type PageNetwork, pageNetwork } from "#test/lab/page-network.js";
import { servePage } from "#test/lab/page-server.js";
import { openPage, startBrowser } from "#test/page/browser.js";

/** Takes the pictures of docs/page.md: `npm run docs:pictures`. Their networks exist only for the page. */

interface Picture {
  readonly name: string;
  readonly network: PageNetwork;
  readonly colorScheme: "light" | "dark";
  readonly height: number;
  readonly before?: (page: Page) => Promise<void>;
}

const PICTURES: readonly Picture[] = [
  { name: "page-light", network: { peers: 12, degree: 3 }, colorScheme: "light", height: 860 },
  {
    name: "page-dark",
    network: { peers: 9, degree: 3, unreachable: 1 },
    colorScheme: "dark",
    height: 940,
    before: (page) => page.click("[aria-labelledby=peers] tbody tr:nth-child(3) button"),
  },
  { name: "page-300-peers", network: { peers: 300, degree: 30 }, colorScheme: "light", height: 900 },
];
/** The pages of the documents are for readers with a slow line. */
const MAX_BYTES = 150_000;

const folder = join(ROOT, "docs/images");
mkdirSync(folder, { recursive: true });
const browser = await startBrowser();
for (const { name, network, colorScheme, height, before } of PICTURES) {
  const server = await servePage(() => assemblePageState(pageNetwork({ ...network, at: performance.now() })));
  const { page } = await openPage(browser, server.port, { colorScheme, viewport: { width: 1_320, height } });
  await before?.(page);
  // Throughput needs some readings.
  await sleep(20_000);
  await page.evaluate("scrollTo(0, 0)");
  const raw = join(folder, `${name}.png`);
  writeFileSync(raw, await page.screenshot());
  // A palette instead of three bytes for each pixel.
  const { status } = spawnSync("pngquant", ["--force", "--strip", "--output", raw, "96", raw]);
  if (status !== 0 || statSync(raw).size > MAX_BYTES)
    throw new Error(`${raw}: pngquant ${status}, ${statSync(raw).size} bytes`);
  await page.context().close();
  server.stop();
}
await browser.close();
process.exit(0);
