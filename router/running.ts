import { setTimeout as sleep } from "node:timers/promises";
import { paths, routerFile, supervisorFile } from "#src/paths.js";
import { livePid, removePid } from "#src/pid-file.js";

/** Limit for the end of a process after SIGTERM; then it gets SIGKILL. Longer than the supervisor's own limit for its router. */
const STOP_MS = 6_000;
/** Interval between checks whether a process has ended. During a restart frames wait for it. */
const POLL_MS = 2;

/** Stops the supervisor of this host, then the router. @returns false if neither was running */
export async function stopRunning(): Promise<boolean> {
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
