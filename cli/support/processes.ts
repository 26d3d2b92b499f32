import { readFileSync } from "node:fs";
import { failureFile, paths, routerFile, supervisorFile } from "#src/paths.js";
import { livePid } from "#src/pid-file.js";

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
