import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { ARCHITECTURE, VERSION } from "#test/lab/releases.js";

/** Builds the managed plugin of the present sources. @returns the folder for `docker plugin create`, in `work` */
export function pluginFolder(work: string): string {
  builtBundle();
  execFileSync("bash", ["scripts/build/plugin.sh"], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  const folder = join(work, "plugin");
  mkdirSync(folder);
  const archive = join(ROOT, `build/release/weave-${VERSION}-plugin-${ARCHITECTURE}.tar`);
  execFileSync("tar", ["-C", folder, "-xf", archive]);
  return folder;
}

/**
 * Makes the plugin in a folder another one: an engine rejects a file system of which it has every byte already.
 *
 * @param description of its configuration, and in a file
 */
export function changePlugin(folder: string, description: string): void {
  const config = join(folder, "config.json");
  const text = readFileSync(config, "utf8");
  writeFileSync(config, text.replace(/"description": "[^"]*"/, `"description": "${description}"`));
  writeFileSync(join(folder, "rootfs/etc/description"), description);
}
