import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { PROGRAMS } from "#docker/wait/programs.js";

/** Where containers have it, as in the original. */
export const WAIT_FOLDER = "/w";
export const WAIT_COMMAND = "/w/w";

/** Whether a bind of a container is where the helper is. */
export const isHelperBind = (bind: string): boolean => bind.split(":")[1] === WAIT_FOLDER;

/**
 * Puts the waiting helper on this host's disk, for containers to have it as a volume.
 *
 * @param folder on a file system that programs may be run from: /run often is not
 * @returns undefined on an architecture that there is no helper for
 */
export function installHelper(folder: string): string | undefined {
  const program = PROGRAMS[process.arch];
  if (program === undefined) return undefined;
  const bytes = Buffer.from(program, "base64");
  const file = `${folder}/w`;
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
  // Containers of any user run it.
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  // One that is being run cannot be written to, and need not be.
  if (!sameBytes(file, bytes)) writeFileSync(file, bytes, { mode: 0o755 });
  return folder;
}

function sameBytes(file: string, bytes: Buffer): boolean {
  try {
    return readFileSync(file).equals(bytes);
  } catch {
    return false;
  }
}
