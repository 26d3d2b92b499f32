import { existsSync } from "node:fs";
import { join } from "node:path";
import { removeNetworkFile, writeNetworkFile } from "#cli/cni/network-file.js";
import { installCniPlugin, removeCniPlugin } from "#cli/cni/plugin-files.js";
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
  const { pluginDir, confDir, remove, hairpin } = values;
  if (remove) {
    removeAll(pluginDir, confDir);
    return;
  }
  const written = writingIn(pluginDir, "WEAVE_CNI_PLUGIN_DIR", () => installCniPlugin(pluginDir));
  for (const path of written) console.log(`wrote ${path}`);
  if (written.length === 0) console.log(`the plugin in ${pluginDir} is up to date`);
  const { path, state, hiddenBy } = writingIn(confDir, "WEAVE_CNI_CONF_DIR", () => writeNetworkFile(confDir, hairpin));
  if (state === "written") console.log(`wrote ${path}`);
  if (state === "up to date") console.log(`${path} is up to date`);
  if (state === "kept") console.log(`${path} stays: it is not as weave wrote it`);
  if (state === "no folder") {
    console.log(`no network configuration: there is no folder ${confDir}`);
    console.log(
      `Where a runtime reads it, run 'mkdir -p ${confDir}', then this again; else name its folder by --conf-dir.`,
    );
    return;
  }
  if (hiddenBy !== undefined)
    console.log(`${hiddenBy} comes first: runtimes that use the first file do not read the other`);
  const folders = [...new Set([pluginDir, ...PLUGIN_FOLDERS])];
  if (!folders.some((folder) => existsSync(join(folder, "portmap"))))
    console.log(
      `portmap, which the network configuration names, is not in ${folders.join(", ")}: Debian's containernetworking-plugins has it`,
    );
}

function removeAll(pluginDir: string, confDir: string): void {
  const file = removeNetworkFile(confDir);
  if (file.state === "removed") console.log(`removed ${file.path}`);
  if (file.state === "kept") console.log(`${file.path} stays: it is not as weave wrote it`);
  for (const path of removeCniPlugin(pluginDir)) console.log(`removed ${path}`);
}
