import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { errorText, systemCode, WeaveError } from "#src/errors.js";

/** Causes for which a file cannot be used, as Node names them and as C libraries describe them, each with the remedy. */
const REMEDIES: readonly (readonly [cause: RegExp, remedy: (place: string) => string])[] = [
  [/\bEROFS\b|read-only file system/i, (place) => `${place} is on a file system that is read-only: mount it writable`],
  [/\b(?:ENOSPC|EDQUOT)\b|no space left/i, (place) => `'df ${place}' shows what is full: free some space there`],
  [
    /\b(?:EEXIST|ENOTDIR|EISDIR)\b|not a directory/i,
    (place) => `Another kind of file has this name: move it away ('ls -ld ${place}')`,
  ],
  [
    /\b(?:EACCES|EPERM)\b|permission denied/i,
    (place) => `Owner, mode or attributes of ${place} forbid it ('ls -ld', 'lsattr -d')`,
  ],
  [/\bEIO\b/, (place) => `The disk below ${place} fails: see the kernel's log ('dmesg')`],
];

/**
 * The next step after a file or folder could not be used.
 *
 * @param variable the variable that moves it, if there is one
 * @returns undefined for a cause without a known remedy
 */
export function fileRemedy(cause: unknown, place: string, variable?: string): string | undefined {
  const text = `${systemCode(cause) ?? ""} ${errorText(cause)}`;
  const remedy = REMEDIES.find(([pattern]) => pattern.test(text))?.[1](place);
  const other = variable === undefined ? "" : `, or choose another folder by ${variable}`;
  return remedy === undefined ? undefined : `${remedy}${other}.`;
}

/** Free bytes of the file system of a folder; infinite for a folder that is missing. */
export function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Runs a function that makes or writes files in a folder. @throws WEAVE_FILE when that fails, with the folder and the remedy */
export function writingIn<T>(folder: string, variable: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof WeaveError || systemCode(cause) === undefined) throw cause;
    // For a read-only file system mkdir reports that the parent is missing.
    const readOnly = systemCode(cause) === "ENOENT" && folder !== dirname(folder);
    throw new WeaveError("WEAVE_FILE", `cannot write to ${folder}: ${errorText(cause)}`, {
      cause,
      next: readOnly
        ? `${dirname(folder)} is missing, or its file system is read-only: mount it writable, or choose another folder by ${variable}.`
        : fileRemedy(cause, folder, variable),
    });
  }
}
