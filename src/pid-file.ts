import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { systemCode } from "#src/errors.js";
import { startTime } from "#src/process-start.js";

/**
 * The content of a pid file: the id of a process, and its start time as of {@link startTime}, because another process may get the
 * same id later.
 */
interface Entry {
  readonly pid: number;
  readonly started: string;
}

function entryOf(pid: number): string {
  const entry: Entry = { pid, started: startTime(pid) ?? "" };
  return JSON.stringify(entry);
}

/** Writes the file for a process, in place of an earlier one. */
export function writePid(path: string, pid: number): void {
  writeFileSync(path, entryOf(pid), { mode: 0o600 });
}

/** Makes the file for this process. @returns false if the file names another running process */
export function claimPid(path: string): boolean {
  // Written elsewhere and linked: other processes must never read an incomplete file.
  const draft = `${path}.${process.pid}`;
  writePid(draft, process.pid);
  try {
    for (;;) {
      try {
        linkSync(draft, path);
        return true;
      } catch (error) {
        if (systemCode(error) !== "EEXIST") throw error;
        if (livePid(path) !== undefined) return false;
        rmSync(path, { force: true });
      }
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Returns the id of the process in the file; undefined if the process does not run, or the file cannot be read. */
export function livePid(path: string): number | undefined {
  let entry: Entry;
  try {
    entry = JSON.parse(readFileSync(path, "utf8")) as Entry;
  } catch {
    return undefined;
  }
  const { pid, started } = entry;
  return Number.isInteger(pid) && pid > 1 && started !== "" && startTime(pid) === started ? pid : undefined;
}

/** Whether the file names a process, running or not. @throws a system error when the file exists and cannot be read */
export function namesPid(path: string, pid: number): boolean {
  return existsSync(path) && readFileSync(path, "utf8").startsWith(`{"pid":${pid},`);
}

export function removePid(path: string): void {
  rmSync(path, { force: true });
}
