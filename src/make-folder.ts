import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { systemCode } from "#src/errors.js";

/**
 * Makes a folder and its missing parents. As `mkdirSync` with `recursive`, which does not return where the kernel has no such folder
 * in one that exists, as in /proc (Node.js 18 to 24).
 *
 * @returns the first folder that was made; undefined if all existed
 * @throws a system error
 */
export function makeFolder(path: string, mode = 0o777): string | undefined {
  try {
    mkdirSync(path, { mode });
    return path;
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return undefined;
    if (systemCode(error) !== "ENOENT" || existsSync(dirname(path))) throw error;
  }
  const first = makeFolder(dirname(path), mode);
  mkdirSync(path, { mode });
  return first ?? path;
}
