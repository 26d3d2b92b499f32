import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { failureFile, paths, routerFile, supervisorFile } from "#src/paths.js";
import { livePid, removePid } from "#src/pid-file.js";

/** Longer than the supervisor's own limit for its router; then by force. */
const GRACE_MS = 6_000;
const POLL_MS = 10;

/** Ids of the supervisor and the router, as far as they run. */
export function runningProcesses(): { supervisor: number | undefined; router: number | undefined } {
  const { run } = paths();
  return { supervisor: livePid(supervisorFile(run)), router: livePid(routerFile(run)) };
}

/** The reason why the router could not start, or why the last one ended; undefined when it is unknown, or a router is ready. */
export function lastFailure(): string | undefined {
  try {
    return readFileSync(failureFile(paths().run), "utf8").trimEnd() || undefined;
  } catch {
    return undefined;
  }
}

/** Stops the router, and its supervisor first. False: neither was running. */
export async function stopRouter(): Promise<boolean> {
  const { run } = paths();
  let stopped = false;
  // The supervisor ends its router itself; a router without one (in the foreground, or orphaned) is ended directly.
  for (const file of [supervisorFile(run), routerFile(run)]) {
    const pid = livePid(file);
    if (pid === undefined) continue;
    stopped = true;
    process.kill(pid, "SIGTERM");
    const deadline = Date.now() + GRACE_MS;
    while (livePid(file) === pid) {
      if (Date.now() > deadline) process.kill(pid, "SIGKILL");
      await sleep(POLL_MS);
    }
    removePid(file);
  }
  return stopped;
}
