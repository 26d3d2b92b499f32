import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { PROGRAMS } from "#docker/wait/programs.js";
import { makeFolder } from "#src/make-folder.js";

/**
 * The helper's folder in a container, unless the container has a mount there. Weave Net uses `/w`, which an image may contain; Docker does
 * not show the files of an image.
 */
const FOLDER = "/.weave";
/** File name of the helper. */
const PROGRAM = "w";
/** Path of the helper in a container, also of one that Weave Net's proxy created. */
const COMMAND = /^(\/w|\/\.weave\d*)\/w$/;

/** Chooses a folder for the helper in a container. @param taken paths of the container's own mounts */
export function freeWaitFolder(taken: readonly string[]): string {
  for (let i = 0; ; i++) {
    const folder = `${FOLDER}${i || ""}`;
    if (!taken.some((path) => path === folder || path.startsWith(`${folder}/`))) return folder;
  }
}

/** Path of the helper in the given folder. */
export const waitCommand = (folder: string): string => `${folder}/${PROGRAM}`;

/** Folder of the helper that a command begins with; undefined if it does not begin with the helper. */
export const waitFolderOf = (entrypoint: readonly string[]): string | undefined =>
  COMMAND.exec(entrypoint[0] ?? "")?.[1];

/** A command without the helper at its beginning. */
export const withoutWait = (entrypoint: readonly string[]): readonly string[] =>
  waitFolderOf(entrypoint) === undefined ? entrypoint : entrypoint.slice(1);

/** Path in the container of a bind mount or volume (`source:path[:options]`), or of an anonymous volume (`path`). */
export function bindTarget(bind: string): string {
  const [first, second] = bind.split(":");
  return (second ?? first).replace(/(?<=.)\/+$/, "");
}

/**
 * Installs the waiting helper on this host, where containers mount it.
 *
 * @param folder folder for it, on a file system that permits execution: /run often does not
 * @returns the folder; undefined for an architecture without a helper
 */
export function installHelper(folder: string): string | undefined {
  const program = PROGRAMS[process.arch];
  if (program === undefined) return undefined;
  const bytes = Buffer.from(program, "base64");
  const file = `${folder}/${PROGRAM}`;
  makeFolder(dirname(folder), 0o700);
  makeFolder(folder);
  // A running program cannot be overwritten (ETXTBSY). An equal one need not be.
  if (!sameBytes(file, bytes)) writeFileSync(file, bytes);
  // Set explicitly, despite the umask: containers of any user run it.
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
