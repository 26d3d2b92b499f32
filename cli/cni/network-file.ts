import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { systemCode } from "#src/errors.js";

/*
 * The network configuration by which a runtime uses weave for its containers: 10-weave.conflist, as Weave Net names it. A file that its
 * user has changed is never written nor removed.
 */

const FILE = "10-weave.conflist";
/** Weave Net's file of versions before 2.5. Runtimes take the first file by name, which this one would be. */
const OLD_FILE = "10-weave.conf";

const NETWORK = "weave";
/** Version of CNI in the file. Plugins of distributions do not know later ones (Debian 12: containernetworking-plugins 1.1). */
const CNI_VERSION = "1.0.0";

/** Each has the fields of Weave Net's file, in its order. */
const networkFile = (cniVersion: string, hairpinMode: boolean) => ({
  cniVersion,
  name: NETWORK,
  plugins: [
    { type: "weave-net", hairpinMode },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ],
});

/** All files that setup wrote. */
const KNOWN = ["0.3.0", CNI_VERSION].flatMap((version) => [true, false].map((mode) => networkFile(version, mode)));

/** The file of this list that is equal to a content. Weave Net's has the network's name also in the first plugin. */
function knownFile(content: unknown): (typeof KNOWN)[number] | undefined {
  return KNOWN.find((each) => {
    const [{ type, hairpinMode }, ...others] = each.plugins;
    const named = { ...each, plugins: [{ name: NETWORK, type, hairpinMode }, ...others] };
    return isDeepStrictEqual(each, content) || isDeepStrictEqual(named, content);
  });
}

export interface NetworkFileResult {
  readonly path: string;
  readonly state: "written" | "up to date" | "kept" | "no folder";
  /** A file that comes before {@link path}, so that runtimes do not read that one. */
  readonly hiddenBy?: string;
}

/**
 * Writes the network configuration. A folder that is missing is not made: then no runtime of this host reads it.
 *
 * @param hairpin whether a container reaches itself by its published ports; undefined: as in the present file, else true
 */
export function writeNetworkFile(folder: string, hairpin: boolean | undefined): NetworkFileResult {
  const path = join(folder, FILE);
  if (!existsSync(folder)) return { path, state: "no folder" };
  const old = join(folder, OLD_FILE);
  if (isOldFile(old)) rmSync(old, { force: true });
  const others = existsSync(old) ? { hiddenBy: old } : {};
  const present = read(path);
  const known = knownFile(present);
  if (present !== undefined && known === undefined) return { path, state: "kept", ...others };
  const wanted = networkFile(CNI_VERSION, hairpin ?? known?.plugins[0].hairpinMode ?? true);
  if (isDeepStrictEqual(wanted, present)) return { path, state: "up to date", ...others };
  // Runtimes watch the folder: a name with another ending is not read.
  const partial = `${path}.${process.pid}`;
  try {
    writeFileSync(partial, `${JSON.stringify(wanted, undefined, 2)}\n`, { mode: 0o644 });
    renameSync(partial, path);
  } finally {
    rmSync(partial, { force: true });
  }
  return { path, state: "written", ...others };
}

/** Removes the network configuration, unless its user has changed it. @returns its path if it was removed; `kept` if it was not */
export function removeNetworkFile(folder: string): { path: string; state: "removed" | "kept" | "missing" } {
  const path = join(folder, FILE);
  const present = read(path);
  if (present === undefined) return { path, state: "missing" };
  if (knownFile(present) === undefined) return { path, state: "kept" };
  rmSync(path, { force: true });
  return { path, state: "removed" };
}

/** Whether the file is Weave Net's old one, unchanged. */
function isOldFile(path: string): boolean {
  const fields = read(path);
  if (typeof fields !== "object" || fields === null) return false;
  const { name, type, hairpinMode, cniVersion: _, ...others } = fields as Record<string, unknown>;
  return (
    name === NETWORK && type === "weave-net" && typeof hairpinMode === "boolean" && Object.keys(others).length === 0
  );
}

/** The content of a file of JSON; undefined if there is no file; null for other content. */
function read(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    return systemCode(error) === "ENOENT" ? undefined : null;
  }
}
