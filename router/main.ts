import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { isatty } from "node:tty";
import { DockerSockets } from "#docker/sockets.js";
import { ApiListeners } from "#router/api/listeners.js";
import { apiRoutes } from "#router/api/routes.js";
import type { FrameWorkers } from "#router/datapath/frame-workers.js";
import type { LogLines } from "#router/event-log/event-collector.js";
import { exitStatusOf } from "#router/exit-status.js";
import { startFrameWorkers } from "#router/frames/service.js";
import { type RouterOptions, readOptions } from "#router/options.js";
import { Router } from "#router/router.js";
import { stopRunning } from "#router/running.js";
import { ServiceManager } from "#router/service-manager.js";
import { supervisionName } from "#router/supervision.js";
import { systemClock } from "#src/clock.js";
import { wantsColours } from "#src/colour.js";
import { Emitter } from "#src/emitter.js";
import { errorText } from "#src/errors.js";
import { confineProcess, confineStarted } from "#src/linux/native/confinement.js";
import { releaseUnusedMemory } from "#src/linux/native/heap.js";
import { exitNow } from "#src/linux/native/process.js";
import { releaseProgramPages } from "#src/linux/native/program-pages.js";
import { setSessionNice } from "#src/linux/native/scheduling.js";
import { type Log, type LogLevel, limited, observed } from "#src/log.js";
import { type LogTarget, pinoLog } from "#src/log-pino.js";
import { writeStandardError } from "#src/log-sink.js";
import { terminalLine, withPriority } from "#src/log-text.js";
import {
  databaseFile,
  failureFile,
  helperFolder,
  launchFile,
  launchingFile,
  newLaunchFile,
  paths,
  routerFile,
  supervisorFile,
} from "#src/paths.js";
import { namesPid, removePid, writePid } from "#src/pid-file.js";
import { Problems } from "#src/problems.js";
import { makePublicFolder } from "#src/public-folder.js";
import { Resources } from "#src/resources.js";
import { requireRoot } from "#src/root.js";
import { lmdbStore } from "#src/store-lmdb.js";
import { settledWithin } from "#src/time-limit.js";
import { VERSION } from "#src/version.js";

/** Time limit of a stop. The process then ends, even if a service has not stopped: all persistent data is already on disk. */
const STOP_MS = 2_000;
/** Time limit for releasing the resources of a failed start. The next start, or `weave reset`, removes the rest. */
const UNDO_MS = 1_000;
/** Time after which memory that only the start needed is returned: the first connections have been made by then. */
const RELEASE_MS = 5_000;
/** Interval of checks that the supervisor is alive. */
const PARENT_CHECK_MS = 10_000;

/** The form of log lines on standard output: for the journal, for a person at a terminal, or as they are. */
function outputFormat(): ((line: string) => string) | undefined {
  if (process.argv.includes("--supervised=systemd")) return withPriority;
  if (!isatty(1)) return undefined;
  const colours = wantsColours();
  return (line) => terminalLine(line, colours);
}

/**
 * The router process: `node router/main.js [--foreground] [--supervised=KIND] [--restarted] [--replace]`. Options come from the launch
 * file. The log goes to a file or, in the foreground, to standard output. The reason of a failure also goes to standard error, for the
 * parent process; of a supervised router, to the service manager and to the file that the supervisor would write.
 *
 * The process always ends by {@link exitNow}: `process.exit` would wait for the frame threads, which block in poll(2), with all
 * sockets open.
 */
class RouterProcess {
  readonly #run = paths().run;
  readonly #foreground = process.argv.includes("--foreground");
  readonly #supervised = process.argv.some((word) => word.startsWith("--supervised="));
  readonly #restarted = process.argv.includes("--restarted");
  readonly #problems = new Problems();
  readonly #target: LogTarget;
  readonly #lines = new Emitter<LogLines>();
  readonly #log: Log;
  readonly #manager: ServiceManager;
  /** Listeners for clients. They are closed before the router stops, so that no request reaches a router that is stopping. */
  readonly #listeners: Resources;
  /** What the kernel refused to take from this process. */
  readonly #unconfined = confineProcess();
  #ending = false;
  #router: Router | undefined;

  constructor() {
    // Files are readable by root only, unless they are created with another mode.
    process.umask(0o077);
    this.#target = pinoLog({
      level: "info",
      ...(this.#foreground ? { format: outputFormat() } : { file: paths().log }),
      onProblem: (problem) =>
        problem === undefined ? this.#problems.clear("log") : this.#problems.set("log", problem),
    });
    this.#log = observed(limited(this.#target, systemClock), (line) => this.#lines.emit("line", line));
    this.#listeners = new Resources(this.#log);
    this.#manager = new ServiceManager(this.#log, process.env);
    for (const why of this.#unconfined) this.#log.warn("the router has more rights than it needs", { why });
    process.on("uncaughtException", (error) => this.#fatal(error));
    process.on("unhandledRejection", (error) => this.#fatal(error));
    // By default Node writes them to standard error, which may be a pipe without a reader.
    process.removeAllListeners("warning");
    process.on("warning", (warning) => this.#log.warn("Node.js warns", { why: `${warning.name}: ${warning.message}` }));
    process.on("SIGTERM", () => void this.#stop());
    process.on("SIGINT", () => void this.#stop());
    process.on("SIGHUP", () => {
      // Of a terminal that was closed; elsewhere the sign to read the options again (daemon(7)).
      if (this.#foreground && !this.#supervised) void this.#stop();
      else this.#reloadOnSignal();
    });
  }

  async start(): Promise<void> {
    try {
      this.#manager.status("starting");
      makePublicFolder(this.#run);
      const options = readOptions(readFileSync(launchFile(this.#run), "utf8"));
      this.#target.setLevel(options.logLevel);
      const workers = startFrameWorkers(options, (error) => this.#fatal(error));
      const slow = options.datapathNice === 0 ? undefined : setSessionNice(options.datapathNice);
      if (slow !== undefined) this.#log.info("the router is slower on a busy host than it could be", { why: slow });
      if (process.argv.includes("--replace")) await this.#replace(options, workers);
      await this.#open(options, workers);
      writePid(routerFile(this.#run), process.pid);
      // A launch in the foreground has become this process, and is complete.
      if (namesPid(launchingFile(this.#run), process.pid)) removePid(launchingFile(this.#run));
      for (const file of [failureFile(this.#run), ...(this.#supervised ? [newLaunchFile()] : [])])
        rmSync(file, { force: true });
      this.#manager.ready(`ready, version ${VERSION}`);
      if (!this.#foreground && options.restart) this.#watchParent();
      setTimeout(() => this.#releaseMemory(), RELEASE_MS).unref();
    } catch (error) {
      await this.#fail(error);
    }
  }

  /**
   * Ends the router that runs now. This process has loaded its modules by now, has read its options, and its threads are warm; a database
   * that it cannot use is found here, so that the old router runs on.
   */
  async #replace({ dbPrefix }: RouterOptions, { warm }: FrameWorkers): Promise<void> {
    requireRoot();
    await lmdbStore(databaseFile(dbPrefix)).close();
    await warm;
    await stopRunning();
    rmSync(failureFile(this.#run), { force: true });
    writePid(supervisorFile(this.#run), process.ppid);
  }

  async #open(options: RouterOptions, workers: FrameWorkers): Promise<void> {
    requireRoot();
    const docker = await this.#openDocker(options);
    const api = new ApiListeners({ run: this.#run, log: this.#log, problems: this.#problems });
    this.#listeners.add("API", () => api.close());
    await api.open(options);
    this.#router = await Router.start({
      options,
      workers,
      docker,
      restarted: this.#restarted,
      log: this.#log,
      lines: this.#lines,
      problems: this.#problems,
      logLinesLost: () => this.#target.lost,
      unconfined: this.#unconfined,
      onFatal: (error) => this.#fatal(error),
    });
    // The frames of the first second are as fast as later ones.
    for (const why of await workers.warm) this.#log.info("the frame path is slower than it could be", { why });
    const unconfined = confineStarted();
    if (unconfined !== undefined) this.#log.warn("the router has more rights than it needs", { why: unconfined });
    const supervision = supervisionName(process.argv, options);
    api.serve(
      apiRoutes(this.#router.services, { problems: this.#problems, supervision, reload: () => this.#reload() }),
    );
  }

  /** Applies the log level of the launch file. The other options need a restart, and the password 'weave rekey'. */
  #reload(): LogLevel {
    const { logLevel } = readOptions(readFileSync(launchFile(this.#run), "utf8"));
    this.#target.setLevel(logLevel);
    this.#log.info("the options were read again", { logLevel });
    return logLevel;
  }

  #reloadOnSignal(): void {
    try {
      this.#reload();
    } catch (error) {
      this.#log.warn("the options cannot be read again; nothing has changed", { why: errorText(error) });
    }
  }

  /** Opens the sockets for Docker and its clients: the first step, because Docker may be waiting for its plugin with locks held. */
  async #openDocker({ docker: options, dbPrefix }: RouterOptions): Promise<DockerSockets | undefined> {
    if (options.api === "") return undefined;
    const docker = await DockerSockets.open(options, helperFolder(dbPrefix), this.#log);
    this.#listeners.add("Docker", () => docker.close());
    return docker;
  }

  #releaseMemory(): void {
    releaseUnusedMemory();
    try {
      releaseProgramPages();
    } catch (error) {
      this.#log.debug("the program's pages are kept in memory", { why: errorText(error) });
    }
  }

  /** Reports a problem when the supervisor has ended: the router works, but is not restarted after a crash. */
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

  /** Ends the process after a failed start. */
  async #fail(error: unknown): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#log.error("the router cannot start", { why: errorText(error) });
    this.#reportEnd(error);
    await this.#listeners.release(UNDO_MS);
    this.#end(exitStatusOf(error, this.#supervised));
  }

  /** Ends the process after a fatal error. A new process starts from the database. */
  #fatal(error: unknown): void {
    // Only the first error is reported: it is the cause.
    if (this.#ending) return;
    this.#ending = true;
    this.#log.error("the router ends", {
      why: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    this.#reportEnd(error);
    this.#end(1);
  }

  /** Reports the reason of the end: to the supervisor, which reads standard error, or in the file that it would write. */
  #reportEnd(error: unknown): void {
    const why = errorText(error);
    // Standard error and the log are one in the journal of a service and in the log of a container.
    if (!this.#supervised) return writeStandardError(`${why}\n`);
    this.#manager.status(why);
    try {
      writeFileSync(failureFile(this.#run), `${why}\n`, { mode: 0o600 });
    } catch (cause) {
      this.#log.warn("cannot write why the router ended", { why: errorText(cause) });
    }
  }

  async #stop(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#manager.stopping();
    const stopping = async () => {
      await this.#listeners.release();
      await this.#router?.stop();
    };
    if (!(await settledWithin(stopping(), STOP_MS)))
      this.#log.warn("the router was ended before all of its parts had stopped", { ms: STOP_MS });
    removePid(routerFile(this.#run));
    this.#end(0);
  }

  #end(status: number): never {
    this.#target.flush();
    exitNow(status);
  }
}

await new RouterProcess().start();
