import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
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
