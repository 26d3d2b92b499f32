import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { programMissing } from "#test/lab/requirements.js";

/** Debian's Chromium. Its sandbox needs user namespaces, which containers and root often lack; it opens the page alone. */
const CHROMIUM = "/usr/bin/chromium";

/** Why no browser can run here; undefined where one can. */
export const browserMissing = (): string | undefined => programMissing(CHROMIUM, "chromium");

export const startBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });

/** A page, with all that it complained about. */
export interface OpenPage {
  readonly page: Page;
  /** Errors, and violations of the page's policy. */
  readonly complaints: string[];
}

/** Opens the page of a router, and waits for its first state. */
export async function openPage(browser: Browser, port: number, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1_440, height: 1_000 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", ({ message }) => complaints.push(message));
  page.on("console", (message) => {
    // A router without events, and one that is gone.
    const expected = /Failed to load resource|ERR_CONNECTION/.test(message.text());
    if (message.type() === "error" && !expected) complaints.push(message.text());
  });
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`http://127.0.0.1:${port}/`)) complaints.push(`a request to ${request.url()}`);
  });
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.waitForSelector("#peers");
  return { page, complaints };
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The text of the first element that a selector finds. */
export const textOf = async (page: Page, selector: string): Promise<string> => (await page.textContent(selector)) ?? "";

/** The part of a result of axe that is shown. */
interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly target: readonly string[]; readonly failureSummary: string }[];
}

/** What axe finds against WCAG 2.2 AA and its own rules: the rule and the element of each violation. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  const found = await page.evaluate<Violation[]>("axe.run(document).then(({ violations }) => violations)");
  return found.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")} ${failureSummary}`),
  );
}

/** Makes a socket available at a port of this host, as `ssh -L PORT:SOCKET` does. @returns the port and a function that ends it */
export async function forward(socket: string): Promise<{ readonly port: number; readonly stop: () => void }> {
  const server = createServer((client) => {
    const upstream = connect(socket);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as { port: number }).port, stop: () => server.close() };
}
