import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { PROGRAMS } from "#docker/wait/programs.js";

/**
 * The helper's folder in a container, unless the container has a mount there. Not `/w` as in Weave Net: an image may well have such a
 * folder, and Docker does not show the files of an image.
 */
const FOLDER = "/.weave";
const PROGRAM = "w";
/** Commands also of containers and images that Weave Net's proxy created. */
const COMMAND = /^(\/w|\/\.weave\d*)\/w$/;

/** A folder for the helper. @param taken paths of the container's own mounts */
export function freeWaitFolder(taken: readonly string[]): string {
  for (let i = 0; ; i++) {
    const folder = `${FOLDER}${i || ""}`;
    if (!taken.some((path) => path === folder || path.startsWith(`${folder}/`))) return folder;
  }
}

export const waitCommand = (folder: string): string => `${folder}/${PROGRAM}`;

/** The folder of the helper with which a command begins; undefined when it begins with something else. */
export const waitFolderOf = (entrypoint: readonly string[]): string | undefined =>
  COMMAND.exec(entrypoint[0] ?? "")?.[1];

/** A command without the helper in front. */
export const withoutWait = (entrypoint: readonly string[]): readonly string[] =>
  waitFolderOf(entrypoint) === undefined ? entrypoint : entrypoint.slice(1);

/** Path in the container of a bind, or of a volume in the short form. */
export function bindTarget(bind: string): string {
  const [first, second] = bind.split(":");
  return (second ?? first).replace(/(?<=.)\/+$/, "");
}

/**
 * Installs the waiting helper on this host's disk, for containers to mount.
 *
 * @param folder on a file system from which programs may run: /run often is not
 * @returns undefined on an architecture without a helper
 */
export function installHelper(folder: string): string | undefined {
  const program = PROGRAMS[process.arch];
  if (program === undefined) return undefined;
  const bytes = Buffer.from(program, "base64");
  const file = `${folder}/${PROGRAM}`;
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
  mkdirSync(folder, { recursive: true });
  // A program that runs cannot be written, and an equal one need not be.
  if (!sameBytes(file, bytes)) writeFileSync(file, bytes);
  // Containers of any user run it; our umask would not allow that.
  for (const path of [folder, file]) chmodSync(path, 0o755);
  return folder;
}

function sameBytes(file: string, bytes: Buffer): boolean {
  try {
    return readFileSync(file).equals(bytes);
  } catch {
    return false;
  }
}
