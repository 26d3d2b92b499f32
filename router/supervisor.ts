import { type ChildProcess, spawn } from "node:child_process";
import { EXIT_START } from "#router/exit-start.js";
import { paths, supervisorFile } from "#src/paths.js";
import { removePid, writePid } from "#src/pid-file.js";

/**
 * Keeps a router running: `node router/supervisor.js`, started by `weave launch` and detached from it. A router that dies
 * is started again, at once the first time and then ever later. One that fails at its first start is not: `weave launch`
 * waits for it, and tells why.
 */

const FIRST_DELAY_MS = 50;
const LAST_DELAY_MS = 30_000;
/** A router that ran this long was sound: its next failure is a first one. */
const SOUND_MS = 60_000;

const { run } = paths();
const restart = !process.argv.includes("--no-restart");
const router = new URL("./main.js", import.meta.url).pathname;

let child: ChildProcess;
let delay = FIRST_DELAY_MS;
let stopping = false;

function start(restarted: boolean): void {
  const began = Date.now();
  child = spawn(process.execPath, [router, ...(restarted ? ["--restarted"] : [])], { stdio: "ignore" });
  child.once("exit", (code) => {
    if (stopping || code === 0 || (code === EXIT_START && !restarted) || !restart) return end(code ?? 1);
    if (Date.now() - began >= SOUND_MS) delay = FIRST_DELAY_MS;
    setTimeout(() => start(true), delay);
    delay = Math.min(LAST_DELAY_MS, delay * 2);
  });
}

function end(code: number): void {
  removePid(supervisorFile(run));
  process.exit(stopping ? 0 : code);
}

function stop(): void {
  stopping = true;
  if (child.exitCode !== null || child.signalCode !== null) return end(0);
  child.kill("SIGTERM");
}

process.on("SIGTERM", stop);
process.on("SIGINT", stop);
// The terminal that launched us may close.
process.on("SIGHUP", () => {});
writePid(supervisorFile(run), process.pid);
start(false);
