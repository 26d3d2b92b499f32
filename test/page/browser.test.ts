import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser } from "playwright-core";
import type { PageState } from "#router/page/page-state.js";
import { assemblePageState } from "#router/page/state-assembly.js";
import { statusRoute } from "#router/route.js";
import { jsonAnswer } from "#src/http/answer.js";
import { inLab } from "#test/lab/lab.js";
import { type PageNetwork, pageNetwork } from "#test/lab/page-network.js";
import { type PageServer, servePage } from "#test/lab/page-server.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";
import { browserMissing, forward, openPage, startBrowser, textOf, violations } from "#test/page/browser.js";

/** The page in a real browser: with networks that exist only for it, and with a real router that ends and comes back. */

const skip = browserMissing() ?? false;

let browser: Browser;
before(async () => {
  if (skip === false) browser = await startBrowser();
});
/** What a test that fails leaves open would keep this process alive. */
const ends: (() => void)[] = [];
after(async () => {
  for (const end of ends) end();
  await browser?.close();
});

async function serveState(read: () => PageState, options = {}): Promise<PageServer> {
  const server = await servePage(read, options);
  ends.push(server.stop);
  return server;
}

const serve = (network: PageNetwork, options = {}) =>
  serveState(() => assemblePageState(pageNetwork({ at: performance.now(), ...network })), options);

const ILL: PageNetwork = { peers: 8, degree: 3, unreachable: 1, problems: ["the disk of the log is full"] };
const EVENTS = [
  ["a/1", "started", "info", "It started."],
  ["a/2", "problem", "error", "It broke."],
].map(([Id, Kind, Severity, Text]) => ({
  ...{ Id, Kind, Severity, Text, Subject: "", Nickname: "h1" },
  Time: "2026-01-02T03:04:05.678Z",
  Peer: "02:00:00:00:00:00",
}));

for (const colorScheme of ["light", "dark"] as const)
  test(`axe finds nothing, in ${colorScheme}`, { skip, timeout: 400_000 }, async () => {
    const more = [statusRoute("/events", () => jsonAnswer({ Schema: "weave.events/1", Events: EVENTS }))];
    for (const network of [ILL, { peers: 12, degree: 3 }, { peers: 300, degree: 30 }]) {
      const server = await serve(network, { more });
      const { page, complaints } = await openPage(browser, server.port, { colorScheme });
      await page.waitForSelector("#events");
      assert.deepEqual(await violations(page), [], `${network.peers} peers`);
      if (network === ILL)
        for (const table of ["peers", "addresses", "names", "containers"]) {
          await page.click(`[aria-labelledby=${table}] tbody tr:nth-child(2) button`);
          assert.deepEqual(await violations(page), [], table);
        }
      assert.deepEqual(complaints, []);
      await page.context().close();
      server.stop();
    }
  });

test("the page works by keyboard alone", { skip, timeout: 180_000 }, async () => {
  const server = await serve(ILL);
  const { page } = await openPage(browser, server.port);
  const focused = () => page.evaluate<string>("document.activeElement.textContent.trim()");
  await page.keyboard.press("Tab");
  assert.match(await focused(), /Go to the list of peers/);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "edge-fra-1");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "db-1");
  await page.keyboard.press("Enter");
  // The explanation has the focus, so that a screen reader reads it; Escape goes back.
  assert.equal(await focused(), "db-1");
  assert.equal(await page.evaluate("document.activeElement.tagName"), "H2");
  assert.match(await textOf(page, "aside"), /UDP datagrams that the router seals/);
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate("document.activeElement.tagName"), "BUTTON");
  assert.equal(await focused(), "db-1");
  await page.focus("#search");
  await page.keyboard.type("gpu-6");
  assert.equal(await page.locator("[aria-labelledby=peers] tbody tr").count(), 1);
  // Every element with a click can be reached: none is outside of the order of the keyboard, but in the pictures.
  const unreachable = await page.evaluate("document.querySelectorAll('[tabindex=\"-1\"]:not(h2)').length");
  assert.equal(unreachable, 0);
  await page.context().close();
  server.stop();
});

test("a click on the map explains a peer, and the figures move", { skip, timeout: 180_000 }, async () => {
  const server = await serve(ILL);
  const { page } = await openPage(browser, server.port);
  await page.click(".nodes > g:nth-child(3) .dot");
  assert.match(await textOf(page, "aside"), /Round trip\s*7.\d ms/);
  const received = () => textOf(page, "aside figcaption .received");
  await page.waitForSelector("aside figcaption");
  const before = await received();
  await until("the rate has changed", async () => (await received()) !== before);
  await page.dispatchEvent(".ring path", "click");
  assert.match(await textOf(page, "aside"), /Only the owner of an address/);
  await page.context().close();
  server.stop();
});

test("names of hostile peers are text wherever they are shown", { skip, timeout: 180_000 }, async () => {
  let count = 0;
  const named = (name: string) =>
    `${["<img src=x onerror=alert(1)>", '"><script>alert(2)</script>', "</text></svg><svg onload=alert(3)>", "javascript:alert(4)"][count++ % 4]}\u202e\u0000${name}${"y".repeat(10_000)}`;
  const state = assemblePageState(pageNetwork({ ...ILL, named, problems: [named("p")] }));
  const event = { ...EVENTS[1], Kind: named("k"), Text: named("t"), Nickname: named("n") };
  const more = [statusRoute("/events", () => jsonAnswer({ Events: [event] }))];
  const server = await serveState(() => state, { more });
  const { page, complaints } = await openPage(browser, server.port);
  await page.waitForSelector("#events");
  for (const table of ["peers", "addresses", "names", "containers"])
    for (const row of [1, 2, 3, 4]) {
      await page.click(`[aria-labelledby=${table}] tbody tr:nth-child(${row}) button`);
      await sleep(30);
    }
  assert.match(await textOf(page, "main"), /<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator("img, main script, #page [onload], #page [onerror]").count(), 0);
  assert.deepEqual(complaints, []);
  // Nothing is wider than the window.
  assert.ok(await page.evaluate<boolean>("document.documentElement.scrollWidth <= innerWidth"));
  await page.context().close();
  server.stop();
});

test("300 peers have labels that do not overlap, and the page stays quick", { skip, timeout: 180_000 }, async () => {
  const state = assemblePageState(pageNetwork({ peers: 300, degree: 30 }));
  const server = await serveState(() => state);
  const { page } = await openPage(browser, server.port);
  const overlaps = await page.evaluate<string[]>(`(() => {
    const boxes = [...document.querySelectorAll(".nodes text")].map((text) => [text.textContent, text.getBBox()]);
    return boxes.flatMap(([a, one], index) => boxes.slice(index + 1).filter(([, two]) =>
      one.x < two.x + two.width && two.x < one.x + one.width && one.y + 2 < two.y + two.height && two.y + 2 < one.y + one.height
    ).map(([b]) => a + " and " + b));
  })()`);
  assert.equal(await page.locator(".nodes text").count(), 300);
  assert.deepEqual(overlaps, []);
  await page.context().close();
  server.stop();
});

test("more pages than a router serves: the last one reports it, and is renewed all the same", {
  skip,
  timeout: 180_000,
}, async () => {
  const server = await serve(ILL);
  const gone = new AbortController();
  const streams = Array.from({ length: 64 }, () =>
    fetch(`http://127.0.0.1:${server.port}/page/stream`, { signal: gone.signal }),
  );
  await Promise.all(streams);
  const { page } = await openPage(browser, server.port);
  await page.waitForSelector(".banner .lost");
  assert.match(await textOf(page, ".banner"), /Too many pages are open/);
  gone.abort();
  await page.waitForSelector(".contact.live", { timeout: 20_000 });
  await page.context().close();
  server.stop();
});

test(
  "a page that is open while the router ends keeps the last state, and follows the next router",
  { skip: skip || (hostTestsImpossible() ?? false), timeout: 240_000 },
  () =>
    inLab(2, async ({ hosts: [h1, h2] }) => {
      const socket = join(h1.folder, "page.sock");
      const launch = () => h1.launch("--password", "s3cret", "--page-addr", socket);
      await launch();
      await h2.launch("--password", "s3cret", h1.address);
      await connected(h1, 1);
      await h1.attach("c1", "10.32.0.1/12");
      const { port, stop } = await forward(socket);
      ends.push(stop);
      const { page, complaints } = await openPage(browser, port);
      await page.waitForSelector(".contact.live");
      await until("the peer is shown", async () => /h2/.test(await textOf(page, "[aria-labelledby=peers]")));
      assert.match(await textOf(page, "header"), /2 peers/);
      await h1.ok("stop");
      await page.waitForSelector("main.stale", { timeout: 20_000 });
      assert.match(await textOf(page, ".banner"), /does not answer since .* last state, in grey/);
      assert.match(await textOf(page, "[aria-labelledby=peers]"), /h2/);
      assert.deepEqual(await violations(page), []);
      await launch();
      await page.waitForSelector(".contact.live", { timeout: 180_000 });
      assert.match(await textOf(page, ".banner"), /has started again/);
      assert.equal(await page.locator("main.stale").count(), 0);
      assert.deepEqual(complaints, []);
      await page.context().close();
      stop();
    }),
);
