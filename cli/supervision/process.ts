import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Launch } from "#cli/launch/launch-flags.js";
import { saveLastLaunch, writeLaunchFile } from "#cli/supervision/launch-files.js";
import { waitUntilReady } from "#cli/supervision/ready.js";
import type { Supervision } from "#cli/supervision/supervision.js";
import { Exit } from "#cli/support/exit.js";
import { lastFailure } from "#cli/support/processes.js";
import { supervised } from "#cli/support/supervised.js";
import { parseOptions } from "#router/options.js";
import { errorText } from "#src/errors.js";
import { installedFile } from "#src/installation.js";
import { launchFile, paths, routerFile, supervisorFile } from "#src/paths.js";
import { livePid, removePid, writePid } from "#src/pid-file.js";

/** Limit for the end of a process after SIGTERM; then it gets SIGKILL. Longer than the supervisor's own limit for its router. */
const STOP_MS = 6_000;
/** Interval between checks whether a process has ended. */
const POLL_MS = 10;

/** A detached supervisor process (router/supervisor.ts). The next boot does not start it again. */
export const processSupervision = (): Supervision => ({
  ...supervised("process"),
  start,
  stop,
  restart,
  remove: async () => {},
});

async function start({ options }: Launch): Promise<string> {
  writeLaunchFile(options);
  const child = await startSupervisor(options.restart ? [] : ["--no-restart"]);
  await untilReady(child);
  saveLastLaunch(options);
  return String(child.pid);
}

async function restart(): Promise<void> {
  const options = parseOptions(JSON.parse(readFileSync(launchFile(paths().run), "utf8")));
  await stop();
  await untilReady(await startSupervisor(["--restarted", ...(options.restart ? [] : ["--no-restart"])]));
}

async function untilReady(child: ChildProcess): Promise<void> {
  const failure = () => (child.exitCode !== null || child.signalCode !== null ? failureText(child) : undefined);
  await waitUntilReady({ what: `process ${child.pid}`, logHint: supervised("process").logHint, failure });
}

/** Starts the supervisor. @throws Exit when it cannot be started */
async function startSupervisor(args: readonly string[]): Promise<ChildProcess> {
  const { WEAVE_PASSWORD: _, ...env } = process.env;
  try {
    const child = spawn(process.execPath, [installedFile("#router/supervisor.js"), ...args], {
      detached: true,
      stdio: "ignore",
      env,
    });
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    // The supervisor outlives this command, also when the wait for the router is interrupted.
    child.unref();
    writePid(supervisorFile(paths().run), child.pid!);
    return child;
  } catch (error) {
    throw new Exit(1, `cannot start ${process.execPath}: ${errorText(error)}`);
  }
}

function failureText(child: ChildProcess): string {
  if (child.exitCode === 0) return "weave was stopped before it was ready.";
  return lastFailure() ?? `The weave router has died. Consult its log for further details: ${paths().log}`;
}

/** Stops the supervisor, then the router. @returns false if neither was running */
async function stop(): Promise<boolean> {
  const { run } = paths();
  let stopped = false;
  // The supervisor stops its router itself. A router without a supervisor (in the foreground, or orphaned) is stopped directly.
  for (const file of [supervisorFile(run), routerFile(run)]) {
    const pid = livePid(file);
    if (pid === undefined) continue;
    stopped = true;
    process.kill(pid, "SIGTERM");
    const deadline = Date.now() + STOP_MS;
    while (livePid(file) === pid) {
      if (Date.now() > deadline) process.kill(pid, "SIGKILL");
      await sleep(POLL_MS);
    }
    removePid(file);
  }
  return stopped;
}
