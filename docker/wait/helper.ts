import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { PROGRAMS } from "#docker/wait/programs.js";

/**
 * Where containers have the helper, unless they have something of their own there. Not `/w` as in Weave Net: an image or its user may well
 * have such a folder, and Docker does not show us what an image has inside.
 */
const FOLDER = "/.weave";
const PROGRAM = "w";
/** Also of containers and images that Weave Net's proxy made. */
const COMMAND = /^(\/w|\/\.weave\d*)\/w$/;

/** @param taken where the container has mounts of its own */
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

/** Where a bind, or a volume of the short form, is in the container. */
export function bindTarget(bind: string): string {
  const [first, second] = bind.split(":");
  return (second ?? first).replace(/(?<=.)\/+$/, "");
}

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
  const file = `${folder}/${PROGRAM}`;
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
  mkdirSync(folder, { recursive: true });
  // One that is being run cannot be written to, and need not be.
  if (!sameBytes(file, bytes)) writeFileSync(file, bytes);
  // Containers of any user run it, whatever our umask is.
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
