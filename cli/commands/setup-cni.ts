import { existsSync } from "node:fs";
import { join } from "node:path";
import { removeNetworkFile, writeNetworkFile } from "#cli/cni/network-file.js";
import { installCniPlugin, removeCniPlugin } from "#cli/cni/plugin-files.js";
import { printDocument } from "#cli/json/document.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { writingIn } from "#src/file-error.js";
import { requireRoot } from "#src/root.js";

/** Folders in which distributions have the plugins of the CNI project. */
const PLUGIN_FOLDERS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

/** `weave setup-cni [--remove]`: installs the CNI plugin and its network configuration on this host. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("setup-cni", args);
  rejectExtra(words);
  requireRoot();
  const { pluginDir, confDir, remove, hairpin, json } = values;
  const result = remove ? removeAll(pluginDir, confDir) : install(pluginDir, confDir, hairpin);
  if (json)
    return printDocument("setup-cni", { Written: result.written, Removed: result.removed, Notes: result.notes });
  for (const path of result.written) console.log(`wrote ${path}`);
  for (const path of result.removed) console.log(`removed ${path}`);
  for (const note of result.notes) console.log(note);
}

/** What the command did. */
interface Result {
  readonly written: string[];
  readonly removed: string[];
  /** What stays as it was, and why. */
  readonly notes: string[];
}

function install(pluginDir: string, confDir: string, hairpin: boolean | undefined): Result {
  const notes: string[] = [];
  const written = [...writingIn(pluginDir, "WEAVE_CNI_PLUGIN_DIR", () => installCniPlugin(pluginDir))];
  if (written.length === 0) notes.push(`the plugin in ${pluginDir} is up to date`);
  const { path, state, hiddenBy } = writingIn(confDir, "WEAVE_CNI_CONF_DIR", () => writeNetworkFile(confDir, hairpin));
  if (state === "written") written.push(path);
  if (state === "up to date") notes.push(`${path} is up to date`);
  if (state === "kept") notes.push(`${path} stays: it is not as weave wrote it`);
  if (state === "no folder") {
    notes.push(`no network configuration: there is no folder ${confDir}`);
    notes.push(
      `Where a runtime reads it, run 'mkdir -p ${confDir}', then this again; else name its folder by --conf-dir.`,
    );
    return { written, removed: [], notes };
  }
  if (hiddenBy !== undefined)
    notes.push(`${hiddenBy} comes first: runtimes that use the first file do not read the other`);
  const folders = [...new Set([pluginDir, ...PLUGIN_FOLDERS])];
  if (!folders.some((folder) => existsSync(join(folder, "portmap"))))
    notes.push(
      `portmap, which the network configuration names, is not in ${folders.join(", ")}: Debian's containernetworking-plugins has it`,
    );
  return { written, removed: [], notes };
}

function removeAll(pluginDir: string, confDir: string): Result {
  const { path, state } = removeNetworkFile(confDir);
  return {
    written: [],
    removed: [...(state === "removed" ? [path] : []), ...removeCniPlugin(pluginDir)],
    notes: state === "kept" ? [`${path} stays: it is not as weave wrote it`] : [],
  };
}
