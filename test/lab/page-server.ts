import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiListeners } from "#router/api/listeners.js";
import { PageFeed } from "#router/page/feed.js";
import { PageFiles } from "#router/page/files.js";
import type { PageState } from "#router/page/page-state.js";
import { pageRoutes } from "#router/page/service.js";
import type { Route } from "#router/route.js";
import { systemClock } from "#src/clock.js";
import { silentLog } from "#src/log.js";
import { Problems } from "#src/problems.js";

/** The page's own listener of a router, for a network that exists only for the page. */
export interface PageServer {
  readonly port: number;
  readonly feed: PageFeed;
  stop(): void;
}

/** @param port to listen at; 0: any. @param run of the router: another one after a restart */
export async function servePage(
  read: () => PageState,
  { port = 0, run = "1", files = new PageFiles(), more = [] as readonly Route[] } = {},
): Promise<PageServer> {
  const folder = mkdtempSync(join(tmpdir(), "weave-page-"));
  const at = port === 0 ? await freePort() : port;
  const feed = new PageFeed({
    clock: systemClock,
    log: silentLog,
    read: async () => read(),
    head: () => ({ run, build: files.build }),
  });
  const listeners = new ApiListeners({ run: folder, log: silentLog, problems: new Problems() });
  const none = { httpAddr: "", statusAddr: "", metricsAddr: "", insecureHttp: false };
  await listeners.open({ ...none, pageAddr: `127.0.0.1:${at}` });
  listeners.serve([...pageRoutes(files, feed), ...more]);
  return {
    port: at,
    feed,
    stop() {
      listeners.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
