import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { type ChildEnd, startChild } from "#router/child.js";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
import { errorText } from "#src/errors.js";
import { installedFile } from "#src/installation.js";
import { LogSink, logLine } from "#src/log-sink.js";
import { ROUTER_NODE_FLAGS } from "#src/node-flags.js";
import { failureFile, paths, routerFile, supervisorFile } from "#src/paths.js";
import { namesPid, removePid, writePid } from "#src/pid-file.js";
import { systemRandom } from "#src/random.js";

/**
 * Keeps a router running: `node router/supervisor.js [--no-restart] [--restarted] [--replace]`. `weave launch` starts it as a detached
 * process, and `weave restart`, with `--restarted --replace`: the first router, too, then uses the stored targets, and it ends the supervisor
 * and the router that run before it. The supervisor restarts a router that has ended: almost immediately the first time, then after
 * increasing delays. It also retries a restart that fails for lack of the program (during an upgrade), memory or processes. A router that
 * was not ready at its first start is not restarted: `weave launch` waits for it, and prints the reason.
 */

const RESTART: BackoffPolicy = { firstMs: 50, factor: 2, lastMs: 30_000, spread: 0 };
/** Run time after which a router counts as stable: the next delay is the first one again. */
const STABLE_MS = 60_000;
/** Time from SIGTERM to SIGKILL. A router stops within two seconds by itself. */
const STOP_MS = 3_000;

class Supervisor {
  readonly #run = paths().run;
  readonly #log = new LogSink({ file: paths().log });
  readonly #restart = !process.argv.includes("--no-restart");
  readonly #router = installedFile("#router/main.js");
  readonly #backoff = new Backoff(RESTART, systemRandom);
  #child: ChildProcess | undefined;
  #stopping = false;

  begin(): void {
    process.umask(0o077);
    process.on("SIGTERM", () => this.#stop());
    process.on("SIGINT", () => this.#stop());
    // The terminal of 'weave launch' may close.
    process.on("SIGHUP", () => {});
    const replaces = process.argv.includes("--replace");
    // While it replaces another supervisor the file names that one: the router writes it (router/main.ts).
    if (!replaces) writePid(supervisorFile(this.#run), process.pid);
    this.#start(process.argv.includes("--restarted"), replaces);
  }

  #start(restarted: boolean, replaces = false): void {
    const began = Date.now();
    const args = [
      ...ROUTER_NODE_FLAGS,
      this.#router,
      ...(restarted ? ["--restarted"] : []),
      ...(replaces ? ["--replace"] : []),
    ];
    this.#child = startChild(process.execPath, args, {
      stdout: "ignore",
      ended: (end) => this.#ended({ ...end, restarted, began }),
    });
  }

  #ended(end: ChildEnd & { restarted: boolean; began: number }): void {
    this.#child = undefined;
    const { restarted, began, pid, code, why } = end;
    if (this.#stopping) return this.#exit(0);
    // The router process received a signal to stop, and stopped cleanly.
    if (code === 0) return this.#exit(0);
    const ready = pid !== undefined && this.#wasReady(pid);
    // A router that has not replaced its predecessor is not needed: that one runs on.
    if (!this.#restart || !this.#isNamed() || !(restarted || ready)) {
      this.#report("error", ready ? "the router has ended" : "the router did not start", { why });
      this.#note(ready ? `The router has ended: ${why}` : why);
      return this.#exit(code);
    }
    if (Date.now() - began >= STABLE_MS) this.#backoff.reset();
    const delay = this.#backoff.next();
    this.#report("error", "the router has ended; it is started again", { why, afterMs: delay });
    this.#note(why);
    setTimeout(() => {
      if (!this.#stopping) this.#start(true);
    }, delay);
  }

  /** Whether the router with process id `pid` was ready: it then has written its pid file. */
  #wasReady(pid: number): boolean {
    try {
      return namesPid(routerFile(this.#run), pid);
    } catch {
      // For example no free descriptors: an unnecessary restart is better than none.
      return true;
    }
  }

  /** Whether the supervisor of this host is this process, and no other one. */
  #isNamed(): boolean {
    try {
      return namesPid(supervisorFile(this.#run), process.pid);
    } catch {
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

  /** Writes the reason of the end to a file, for `weave launch` and `weave status`. */
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
    if (this.#isNamed()) removePid(supervisorFile(this.#run));
    process.exit(code);
  }
}

new Supervisor().begin();
