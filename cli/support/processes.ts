import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { failureFile, paths, routerFile, supervisorFile } from "#src/paths.js";
import { livePid, removePid } from "#src/pid-file.js";

/** Limit for the end of a process after SIGTERM; then it gets SIGKILL. Longer than the supervisor's own limit for its router. */
const STOP_MS = 6_000;
/** Interval between checks whether a process has ended. */
const POLL_MS = 10;

/** Process ids of the supervisor and the router; undefined for one that does not run. */
export function runningProcesses(): { supervisor: number | undefined; router: number | undefined } {
  const { run } = paths();
  return { supervisor: livePid(supervisorFile(run)), router: livePid(routerFile(run)) };
}

/** The reason for which the router could not start, or the last one ended; undefined when it is unknown, or the router is ready. */
export function lastFailure(): string | undefined {
  try {
    return readFileSync(failureFile(paths().run), "utf8").trimEnd() || undefined;
  } catch {
    return undefined;
  }
}

/** Stops the supervisor, then the router. @returns false if neither was running */
export async function stopRouter(): Promise<boolean> {
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
