import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { CNI_PROGRAMS } from "#cli/cni/programs.js";
import { WeaveError } from "#src/errors.js";
import { makePublicFolder } from "#src/public-folder.js";
import { VERSION } from "#src/version.js";

/*
 * The CNI plugin in the folder where runtimes look for plugins, as Weave Net has it: one program `weave-plugin-VERSION`, and a link to it
 * for each of its names. Each file and link is replaced in one step, as a runtime may run it at any time.
 */

/** Names by which runtimes run the program: `type` in a network configuration. */
const NAMES = ["weave-net", "weave-ipam"] as const;
/** Start of the program's file name. */
const PROGRAM = "weave-plugin-";
/** Files that are being written. */
const PARTIAL = ".weave-cni-";
/** A text in each version of the program. Weave Net's file of the same name does not have it. */
const MARK = "application/x-weave-cni";
/** Programs of this project are smaller. */
const MAX_BYTES = 1 << 20;

/**
 * Installs the plugin in a folder, which is made if it is missing, and removes earlier versions.
 *
 * @returns paths of the files that were written; none if all are there
 * @throws WEAVE_INSTALLATION for an architecture without the program
 */
export function installCniPlugin(folder: string): string[] {
  const program = CNI_PROGRAMS[process.arch];
  if (program === undefined)
    throw new WeaveError("WEAVE_INSTALLATION", `weave has no CNI plugin for the architecture ${process.arch}`);
  makePublicFolder(folder);
  const name = `${PROGRAM}${VERSION}`;
  const bytes = Buffer.from(program, "base64");
  const written: string[] = [];
  if (!contentOf(join(folder, name))?.equals(bytes)) {
    replace(folder, name, (path) => {
      writeFileSync(path, bytes);
      // Set explicitly, despite the umask.
      chmodSync(path, 0o755);
    });
    written.push(join(folder, name));
  }
  for (const link of NAMES) {
    if (targetOf(join(folder, link)) === name) continue;
    replace(folder, link, (path) => symlinkSync(name, path));
    written.push(join(folder, link));
  }
  for (const other of ownPrograms(folder)) if (other !== name) rmSync(join(folder, other), { force: true });
  return written;
}

/** Whether the plugin in a folder is that of this version. `missing`: there is none of this project. */
export function cniPluginState(folder: string): "current" | "other" | "missing" {
  const programs = ownPrograms(folder);
  const targets = NAMES.map((name) => targetOf(join(folder, name)) ?? "").filter((target) => programs.includes(target));
  if (targets.length === 0) return "missing";
  const bytes = Buffer.from(CNI_PROGRAMS[process.arch] ?? "", "base64");
  const current =
    targets.length === NAMES.length && targets.every((name) => contentOf(join(folder, name))?.equals(bytes));
  return current ? "current" : "other";
}

/** Removes the plugin from a folder, and the folder if it is empty then, with its parent if that is `cni`. @returns paths of the removed files */
export function removeCniPlugin(folder: string): string[] {
  const programs = ownPrograms(folder);
  const links = NAMES.filter((name) => programs.includes(targetOf(join(folder, name)) ?? ""));
  const removed = [...links, ...programs].map((name) => join(folder, name));
  for (const path of removed) rmSync(path, { force: true });
  if (removed.length > 0 && removeEmpty(folder) && basename(dirname(folder)) === "cni") removeEmpty(dirname(folder));
  return removed;
}

/** Makes a file or link under another name, then renames it. */
function replace(folder: string, name: string, make: (path: string) => void): void {
  const path = join(folder, `${PARTIAL}${process.pid}`);
  rmSync(path, { force: true });
  try {
    make(path);
    renameSync(path, join(folder, name));
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** File names of this project's programs in a folder, of all versions, with those that an interrupted installation left. */
function ownPrograms(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names.filter(
    (name) =>
      (name.startsWith(PROGRAM) || name.startsWith(PARTIAL)) &&
      (contentOf(join(folder, name))?.includes(MARK) ?? false),
  );
}

/** The bytes of a regular file of the size of a program; undefined for anything else. */
function contentOf(path: string): Buffer | undefined {
  try {
    const stats = lstatSync(path);
    return stats.isFile() && stats.size <= MAX_BYTES ? readFileSync(path) : undefined;
  } catch {
    return undefined;
  }
}

function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function removeEmpty(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
