import { readFileSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { Docker } from "#docker/docker.js";
import { openListeners } from "#router/api/listeners.js";
import { type RouterOptions, readOptions } from "#router/options.js";
import { Router } from "#router/router.js";
import { systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import { exitNow } from "#src/linux/native/process.js";
import { limited } from "#src/log.js";
import { type LogTarget, pinoLog } from "#src/log-pino.js";
import { lastWords } from "#src/log-sink.js";
import { controlSocket, failureFile, helperFolder, launchFile, paths, routerFile } from "#src/paths.js";
import { removePid, writePid } from "#src/pid-file.js";
import { Problems } from "#src/problems.js";
import { makePublicFolder } from "#src/public-folder.js";
import { settledWithin } from "#src/time-limit.js";

/** A part that has not stopped by then is left behind: whatever must not be lost is on disk already. */
const STOP_MS = 2_000;
/** What a failed start made is removed in this time, or left: the next start, or `weave reset`, deals with it. */
const UNDO_MS = 1_000;
const PARENT_CHECK_MS = 10_000;

/**
 * The router process: `node router/main.js [--foreground] [--restarted]`. Options come from the launch file. The log goes
 * to a file or, in the foreground, to standard output; why it ends goes to standard error as well, for whoever started it.
 *
 * Every end is by {@link exitNow}: `process.exit` would wait for threads that wait for frames,
 * with all sockets open.
 */
class RouterProcess {
  readonly #run = paths().run;
  readonly #foreground = process.argv.includes("--foreground");
  readonly #restarted = process.argv.includes("--restarted");
  readonly #problems = new Problems();
  readonly #servers: Server[] = [];
  readonly #log: LogTarget;
  #ending = false;
  #router: Router | undefined;
  #docker: Docker | undefined;

  constructor() {
    // All that we make is ours alone, unless a file says otherwise by a mode of its own.
    process.umask(0o077);
    this.#log = pinoLog({
      level: "info",
      ...(this.#foreground ? {} : { file: paths().log }),
      onProblem: (problem) =>
        problem === undefined ? this.#problems.clear("log") : this.#problems.set("log", problem),
    });
    process.on("uncaughtException", (error) => this.#fatal(error));
    process.on("unhandledRejection", (error) => this.#fatal(error));
    // By default Node writes them to standard error, which may be a pipe that nobody reads.
    process.removeAllListeners("warning");
    process.on("warning", (warning) => this.#log.warn("Node.js warns", { why: `${warning.name}: ${warning.message}` }));
    process.on("SIGTERM", () => void this.#stop());
    process.on("SIGINT", () => void this.#stop());
    process.on("SIGHUP", () => {
      // In the background there is no terminal that could close.
      if (this.#foreground) void this.#stop();
    });
  }

  async start(): Promise<void> {
    try {
      makePublicFolder(this.#run);
      const options = readOptions(readFileSync(launchFile(this.#run), "utf8"));
      this.#log.setLevel(options.logLevel);
      await this.#open(options);
      writePid(routerFile(this.#run), process.pid);
      rmSync(failureFile(this.#run), { force: true });
      if (!this.#foreground && options.restart) this.#watchParent();
    } catch (error) {
      await this.#fail(error);
    }
  }

  async #open(options: RouterOptions): Promise<void> {
    // The first of all: Docker may be waiting, and hold its locks meanwhile.
    if (options.docker.api !== "")
      this.#docker = await Docker.open(options.docker, helperFolder(options.dbPrefix), limited(this.#log, systemClock));
    await openListeners({
      router: () => this.#router,
      options,
      run: this.#run,
      log: this.#log,
      problems: this.#problems,
      servers: this.#servers,
    });
    this.#router = await Router.start({
      options,
      docker: this.#docker,
      restarted: this.#restarted,
      log: this.#log,
      problems: this.#problems,
      onFatal: (error) => this.#fatal(error),
    });
  }

  /** Without its supervisor a router works, but the next crash is its last. */
  #watchParent(): void {
    const parent = process.ppid;
    setInterval(() => {
      if (process.ppid !== parent)
        this.#problems.set(
          "supervisor",
          `the process ${parent}, which starts the router again after a crash, is gone; 'weave stop' and 'weave launch --resume' start both.`,
        );
    }, PARENT_CHECK_MS).unref();
  }

  /** The start failed. */
  async #fail(error: unknown): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#log.error("the router cannot start", { why: errorText(error) });
    lastWords(`${errorText(error)}\n`);
    if (this.#docker !== undefined) await settledWithin(this.#docker.stop(), UNDO_MS);
    this.#end(1);
  }

  /** Something happened that the router must not go on after: a new process starts from what is on disk. */
  #fatal(error: unknown): void {
    // The first error is the cause.
    if (this.#ending) return;
    this.#ending = true;
    this.#log.error("the router ends", {
      why: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    lastWords(`${errorText(error)}\n`);
    this.#end(1);
  }

  async #stop(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const stopping = async () => {
      for (const server of this.#servers) {
        server.close();
        server.closeAllConnections();
      }
      await this.#router?.stop();
    };
    const stopped = stopping().catch((error) =>
      this.#log.error("the router did not stop well", { why: errorText(error) }),
    );
    if (!(await settledWithin(stopped, STOP_MS)))
      this.#log.warn("the router was ended before all of its parts had stopped", { ms: STOP_MS });
    removePid(routerFile(this.#run));
    this.#end(0);
  }

  #end(status: number): never {
    try {
      // Unless it is another router's.
      if (this.#servers.length > 0) rmSync(controlSocket(this.#run), { force: true });
    } finally {
      this.#log.flush();
      exitNow(status);
    }
  }
}

await new RouterProcess().start();
