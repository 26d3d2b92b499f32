import { readFileSync, rmSync, writeFileSync } from "node:fs";

/**
 * A process named on disk by its id and the time it started (field 22 of /proc/PID/stat, proc(5)): an id alone may have
 * been given to somebody else since.
 */
interface Entry {
  readonly pid: number;
  readonly started: string;
}

function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie is as good as gone.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function writePid(path: string, pid: number): void {
  const entry: Entry = { pid, started: startTime(pid) ?? "" };
  writeFileSync(path, JSON.stringify(entry), { mode: 0o600 });
}

/** The id of the process that the file names, if it is still running. */
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

export function removePid(path: string): void {
  rmSync(path, { force: true });
}
