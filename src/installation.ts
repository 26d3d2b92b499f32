import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemCode, WeaveError } from "#src/errors.js";

/**
 * Returns the path of a file of this installation that is not imported but started, or loaded by other means: a program, a
 * thread, a native module. `imports` of package.json knows where files are, in a checkout and in the bundle alike.
 *
 * @param name as for an import: `#router/main.js`
 * @throws WEAVE_INSTALLATION when the file is missing
 */
export function installedFile(name: `#${string}`): string {
  const path = fileURLToPath(import.meta.resolve(name));
  if (!existsSync(path)) throw incomplete(path);
  return path;
}

/**
 * Checks that all files are there which the router may load later, for this machine. A checkout has no list of them, and is
 * not checked.
 *
 * @returns the number of files that were checked
 * @throws WEAVE_INSTALLATION with the first file that is missing, or does not have its size
 */
export function checkInstallation(): number {
  const files = installedFiles();
  if (files === undefined) return 0;
  const others = (path: string) => path.startsWith("native/") && !path.startsWith(`native/linux-${process.arch}/`);
  const checked = files.list.filter(({ path }) => !others(path));
  for (const { path, bytes } of checked) {
    const size = statSync(join(files.folder, path), { throwIfNoEntry: false })?.size;
    if (size === undefined) throw incomplete(join(files.folder, path));
    if (bytes !== undefined && size !== bytes)
      throw damaged(join(files.folder, path), `${size} instead of ${bytes} bytes`);
  }
  return checked.length;
}

/** The list that the bundle has of its files (scripts/build/bundle/file-list.mjs); undefined in a checkout. */
function installedFiles(): { folder: string; list: readonly { path: string; bytes?: number }[] } | undefined {
  try {
    const list = fileURLToPath(import.meta.resolve("#files.json"));
    return { folder: join(list, ".."), list: JSON.parse(readFileSync(list, "utf8")) };
  } catch (error) {
    if (systemCode(error) === "ERR_PACKAGE_IMPORT_NOT_DEFINED") return undefined;
    throw error;
  }
}

const REINSTALL = { next: "Install weave again, in the same way as before." };

/** Makes the error for a missing file of this installation. */
const incomplete = (path: string): WeaveError =>
  new WeaveError("WEAVE_INSTALLATION", `this installation of weave is incomplete: ${path} is missing`, REINSTALL);

const damaged = (path: string, why: string): WeaveError =>
  new WeaveError("WEAVE_INSTALLATION", `this installation of weave is damaged: ${path} has ${why}`, REINSTALL);

/** Makes {@link incomplete}'s error from that of an import without its file; undefined for any other error. */
export function missingModule(error: unknown): WeaveError | undefined {
  if (systemCode(error) !== "ERR_MODULE_NOT_FOUND") return undefined;
  const path = /'([^']+)'/.exec((error as Error).message)?.[1];
  return incomplete(path ?? "a module");
}
