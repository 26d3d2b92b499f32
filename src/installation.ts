import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { errorText, systemCode, WeaveError } from "#src/errors.js";

/** The platforms: values of `process.arch` on Linux with glibc. package.json has the same for npm. */
export const ARCHITECTURES: readonly string[] = ["x64", "arm64"];
/** Oldest glibc that has all functions which the native modules call. */
export const OLDEST_GLIBC = "2.34";

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
 * Loads a native module of the bundle, `native/linux-ARCH/NAME.node`. Packages with native modules call it instead of their own
 * loaders (scripts/build/bundle/javascript.mjs).
 *
 * @throws WEAVE_INSTALLATION when it is missing or cannot be loaded, with the reason
 */
export function loadNative(name: string): unknown {
  const { platform, arch } = process;
  if (platform !== "linux" || !ARCHITECTURES.includes(arch)) throw unsupported(`${platform} on ${arch}`);
  return load(installedFile(`#native/${platform}-${arch}/${name}.node`));
}

function load(path: string): unknown {
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    const { glibcVersionRuntime: glibc } = (process.report.getReport() as { header: Record<string, string> }).header;
    if (glibc === undefined) throw unsupported("a system without glibc");
    // The dynamic linker names the version that it does not find (ld.so(8)).
    if (/GLIBC(XX)?_\d/.test(errorText(cause))) throw unsupported(`glibc ${glibc}`);
    throw new WeaveError("WEAVE_INSTALLATION", `cannot load ${path}: ${errorText(cause)}`, { cause, ...REINSTALL });
  }
}

/**
 * Checks that all files are there which the router may load later, and that its native modules can be loaded. A checkout has no list of its
 * files, and is not checked.
 *
 * @returns the number of files that were checked
 * @throws WEAVE_INSTALLATION for the first file that is missing, does not have its size or cannot be loaded
 */
export function checkInstallation(): number {
  const files = installedFiles();
  if (files === undefined) return 0;
  const own = `native/linux-${process.arch}/`;
  const checked = files.list.filter(({ path }) => !path.startsWith("native/") || path.startsWith(own));
  for (const { path: name, bytes } of checked) {
    const path = join(files.folder, name);
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) throw incomplete(path);
    if (bytes === undefined) load(path);
    else if (size !== bytes) throw damaged(path, `${size} instead of ${bytes} bytes`);
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

const incomplete = (path: string): WeaveError =>
  new WeaveError("WEAVE_INSTALLATION", `this installation of weave is incomplete: ${path} is missing`, REINSTALL);

const damaged = (path: string, why: string): WeaveError =>
  new WeaveError("WEAVE_INSTALLATION", `this installation of weave is damaged: ${path} has ${why}`, REINSTALL);

const unsupported = (what: string): WeaveError =>
  new WeaveError(
    "WEAVE_INSTALLATION",
    `weave runs on Linux with glibc ${OLDEST_GLIBC} or later, on ${ARCHITECTURES.join(" and ")}; this is ${what}`,
  );

/** Makes the error for a missing file from that of an import; undefined for any other error. */
export function missingModule(error: unknown): WeaveError | undefined {
  if (systemCode(error) !== "ERR_MODULE_NOT_FOUND") return undefined;
  return incomplete(/'([^']+)'/.exec(errorText(error))?.[1] ?? "a module");
}
