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

/** Ports are published by portmap, as in Weave Net's file. Podman sends the names of containers as `aliases`. */
const networkFile = (hairpinMode: boolean) => ({
  cniVersion: CNI_VERSION,
  name: NETWORK,
  plugins: [
    { type: "weave-net", hairpinMode, capabilities: { aliases: true } },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ],
});

/** Weave Net's file. */
const earlierFile = (hairpinMode: boolean) => ({
  cniVersion: "0.3.0",
  name: NETWORK,
  plugins: [
    { name: NETWORK, type: "weave-net", hairpinMode },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ],
});

/** The hairpin mode of a file that its user has not changed; undefined for any other content. */
const hairpinOf = (content: unknown): boolean | undefined =>
  [true, false].find((mode) => [networkFile, earlierFile].some((file) => isDeepStrictEqual(file(mode), content)));

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
  const known = hairpinOf(present);
  if (present !== undefined && known === undefined) return { path, state: "kept", ...others };
  const wanted = networkFile(hairpin ?? known ?? true);
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
  if (hairpinOf(present) === undefined) return { path, state: "kept" };
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
