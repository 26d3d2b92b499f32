import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";

/** Builds the managed plugin of the present sources. @returns the folder for `docker plugin create`, in `work` */
export function pluginFolder(work: string): string {
  builtBundle();
  execFileSync("bash", ["scripts/build/plugin.sh"], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const architecture = execFileSync("dpkg", ["--print-architecture"], { encoding: "utf8" }).trim();
  const folder = join(work, "plugin");
  mkdirSync(folder);
  const archive = join(ROOT, `build/release/weave-${version}-plugin-${architecture}.tar`);
  execFileSync("tar", ["-C", folder, "-xf", archive]);
  return folder;
}
