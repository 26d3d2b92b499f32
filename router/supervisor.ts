import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
import { errorText } from "#src/errors.js";
import { LogSink, logLine } from "#src/log-sink.js";
import { failureFile, paths, routerFile, supervisorFile } from "#src/paths.js";
import { namesPid, removePid, writePid } from "#src/pid-file.js";
import { systemRandom } from "#src/random.js";

/**
 * Keeps a router running: `node router/supervisor.js [--no-restart]`, started by `weave launch` and detached from it. A router that
 * ends is restarted, immediately the first time and then after longer and longer delays; so is a router that could not be started for lack of
 * its program (during an upgrade), memory or processes. A router that was not ready at its first start is not restarted: `weave launch` waits
 * for it, and prints the reason.
 */

const RESTART: BackoffPolicy = { firstMs: 50, factor: 2, lastMs: 30_000, spread: 0 };
/** A router that has run for this time was stable: the delays start again from the first. */
const SOUND_MS = 60_000;
/** A router ends by itself within two seconds of SIGTERM; otherwise it is killed. */
const STOP_MS = 3_000;
/** Kept of a router's standard error: of an error that Node prints, the end has the most information. */
const WORDS_CHARS = 2_048;
/** Standard error of a router may arrive this long after its exit. */
const WORDS_MS = 200;

class Supervisor {
  readonly #run = paths().run;
  readonly #log = new LogSink({ file: paths().log });
  readonly #restart = !process.argv.includes("--no-restart");
  readonly #router = new URL("./main.js", import.meta.url).pathname;
  readonly #backoff = new Backoff(RESTART, systemRandom);
  #child: ChildProcess | undefined;
  #stopping = false;

  begin(): void {
    process.umask(0o077);
    process.on("SIGTERM", () => this.#stop());
    process.on("SIGINT", () => this.#stop());
    // The terminal that launched us may close.
    process.on("SIGHUP", () => {});
    writePid(supervisorFile(this.#run), process.pid);
    this.#start(false);
  }

  #start(restarted: boolean): void {
    const began = Date.now();
    const args = [this.#router, ...(restarted ? ["--restarted"] : [])];
    const cannot = (error: unknown) =>
      this.#ended({ restarted, began, code: 1, why: `cannot start ${process.execPath}: ${errorText(error)}` });
    let child: ChildProcess;
    try {
      child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    } catch (error) {
      // Node throws some errors (ENOMEM), and emits others (ENOENT, EAGAIN).
      return cannot(error);
    }
    this.#child = child;
    let words = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      words = (words + text).slice(-WORDS_CHARS);
    });
    child.stderr?.on("error", () => {});
    child.on("error", (error) => {
      // Also emitted when a signal could not be sent: the process is there then.
      if (child.pid === undefined) cannot(error);
    });
    child.once("exit", (code, signal) => {
      this.#child = undefined;
      const timer = setTimeout(() => done(), WORDS_MS);
      const done = () => {
        clearTimeout(timer);
        child.off("close", done);
        const how = signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`;
        this.#ended({ restarted, began, pid: child.pid, code: code ?? 1, why: words.trim() || how });
      };
      child.once("close", done);
    });
  }

  #ended(end: { restarted: boolean; began: number; pid?: number | undefined; code: number; why: string }): void {
    this.#child = undefined;
    const { restarted, began, pid, code, why } = end;
    if (this.#stopping) return this.#exit(0);
    // A user or program stopped the router process itself, and it stopped cleanly.
    if (code === 0) return this.#exit(0);
    const ready = pid !== undefined && this.#wasReady(pid);
    if (!this.#restart || !(restarted || ready)) {
      this.#report("error", ready ? "the router has ended" : "the router did not start", { why });
      this.#note(ready ? `The router has ended: ${why}` : why);
      return this.#exit(code);
    }
    if (Date.now() - began >= SOUND_MS) this.#backoff.reset();
    const delay = this.#backoff.next();
    this.#report("error", "the router has ended; it is started again", { why, afterMs: delay });
    this.#note(why);
    setTimeout(() => {
      if (!this.#stopping) this.#start(true);
    }, delay);
  }

  /** A router writes its file when it is ready. */
  #wasReady(pid: number): boolean {
    try {
      return namesPid(routerFile(this.#run), pid);
    } catch {
      // No descriptors, for example: one restart too many is better than none.
      return true;
    }
  }

  #stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const child = this.#child;
    if (child === undefined) return this.#exit(0);
    child.kill("SIGTERM");
    setTimeout(() => {
      this.#report("warn", "the router did not end in time; it was killed", { ms: STOP_MS });
      child.kill("SIGKILL");
    }, STOP_MS);
  }

  /** For `weave launch` and `weave status`. */
  #note(why: string): void {
    try {
      writeFileSync(failureFile(this.#run), `${why}\n`, { mode: 0o600 });
    } catch (error) {
      this.#report("warn", "cannot write why the router ended", { why: errorText(error) });
    }
  }

  #report(level: "warn" | "error", message: string, fields: object): void {
    this.#log.write(logLine(level, message, fields));
  }

  #exit(code: number): void {
    this.#log.flush();
    removePid(supervisorFile(this.#run));
    process.exit(code);
  }
}

new Supervisor().begin();
