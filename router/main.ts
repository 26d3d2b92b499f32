import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { Docker } from "#docker/docker.js";
import { createApi, listen, type Route } from "#router/api/http.js";
import { controlRoutes, metricsRoutes, statusRoutes } from "#router/api/routes.js";
import { EXIT_START } from "#router/exit-start.js";
import { parseOptions, type RouterOptions } from "#router/options.js";
import { Router } from "#router/router.js";
import { systemClock } from "#src/clock.js";
import { textOf } from "#src/errors.js";
import { limited } from "#src/log.js";
import { type LogTarget, pinoLog } from "#src/log-pino.js";
import { controlSocket, failureFile, helperFolder, launchFile, paths, routerFile } from "#src/paths.js";
import { removePid, writePid } from "#src/pid-file.js";
import { Problems } from "#src/problems.js";

/** A log file that has grown past this is put aside as `.1`, in the place of the one before. */
const LOG_BYTES = 16 << 20;
const LOG_CHECK_MS = 60_000;
/** What is still open after this long is cut off. */
const STOP_MS = 5_000;

/**
 * The router process: `node router/main.js [--foreground] [--restarted]`. Options come from the launch file. The log goes
 * to a file or, in the foreground, to standard output.
 */
async function main(): Promise<void> {
  const { run, log: logFile } = paths();
  const foreground = process.argv.includes("--foreground");
  const options = parseOptions(JSON.parse(readFileSync(launchFile(run), "utf8")));
  if (!foreground) mkdirSync(logFile.slice(0, logFile.lastIndexOf("/")), { recursive: true });
  const log = pinoLog({ level: options.logLevel, ...(foreground ? {} : { file: logFile }) });
  rmSync(failureFile(run), { force: true });
  const fatal = (error: unknown) => {
    log.error("the router ends", { why: textOf(error), stack: error instanceof Error ? error.stack : undefined });
    process.exit(1);
  };
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);

  const problems = new Problems();
  let router: Router | undefined;
  let docker: Docker | undefined;
  const servers: Server[] = [];
  try {
    // The first of all: Docker may be waiting, and hold its locks meanwhile.
    if (options.docker.api !== "")
      docker = await Docker.open(options.docker, helperFolder(options.dbPrefix), limited(log, systemClock));
    await openApi(() => router, options, run, log, servers);
    router = await Router.start({
      options,
      docker,
      restarted: process.argv.includes("--restarted"),
      log,
      problems,
      onFatal: fatal,
    });
  } catch (error) {
    const text = textOf(error);
    log.error("the router cannot start", { why: text });
    await docker?.stop();
    writeFileSync(failureFile(run), `${text}\n`);
    process.exit(EXIT_START);
  }
  writePid(routerFile(run), process.pid);
  if (!foreground) setInterval(() => rotate(logFile, log), LOG_CHECK_MS).unref();

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(0), STOP_MS).unref();
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    await router?.stop();
    rmSync(controlSocket(run), { force: true });
    removePid(routerFile(run));
    process.exit(0);
  };
  process.on("SIGTERM", () => void stop());
  process.on("SIGINT", () => void stop());
}

/**
 * Control API, status and metrics, each where it was asked for; the control API always at its Unix socket too. They
 * listen before the router exists, so that a port in use is found out before anything is made on the host.
 */
async function openApi(
  router: () => Router | undefined,
  options: RouterOptions,
  run: string,
  log: LogTarget,
  servers: Server[],
): Promise<void> {
  const open = async (address: string, make: (router: Router) => Route[]) => {
    if (address === "") return;
    let routes: Route[] | undefined;
    const server = createApi(() => {
      const started = router();
      if (routes === undefined && started !== undefined) routes = make(started);
      return routes;
    }, log);
    servers.push(server);
    await listen(server, address);
  };
  await open(controlSocket(run), controlRoutes);
  if (options.httpAddr !== controlSocket(run)) await open(options.httpAddr, controlRoutes);
  await open(options.statusAddr, statusRoutes);
  await open(options.metricsAddr, metricsRoutes);
}

function rotate(file: string, log: LogTarget): void {
  try {
    if (statSync(file).size < LOG_BYTES) return;
    renameSync(file, `${file}.1`);
  } catch {
    // The file was moved away: a new one is as good.
  }
  log.reopen();
}

await main();
