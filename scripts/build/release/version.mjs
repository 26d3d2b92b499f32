import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../project.mjs";
import { withRelease } from "./changelog.mjs";

/** Semantic versions without build metadata, which no package format has a place for. */
const VERSION = /^\d+\.\d+\.\d+(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;
/** Files beside package.json and package-lock.json that have the version, as they cannot read it; a unit test compares them. */
export const VERSION_FILES = ["src/version.ts", "packaging/image/Dockerfile"];

const edit = (file, change) => {
  const path = join(root, file);
  const text = readFileSync(path, "utf8");
  const changed = change(text);
  if (changed === text) throw new Error(`${file} does not name the present version`);
  writeFileSync(path, changed);
};

/** Makes the commit of a release: its version in all files, and its section in CHANGELOG.md. @throws Error for an invalid version */
export function commitRelease(from, version) {
  if (!VERSION.test(version)) throw new Error(`'${version}' is no version: write it as 1.2.3 or 1.2.3-rc.1`);
  edit("CHANGELOG.md", (text) => withRelease(text, version, new Date().toISOString().slice(0, 10)));
  if (version !== from) {
    execFileSync("npm", ["version", version, "--no-git-tag-version", "--ignore-scripts"], {
      cwd: root,
      stdio: "ignore",
    });
    for (const file of VERSION_FILES) edit(file, (text) => text.replaceAll(from, version));
  }
  execFileSync("git", ["commit", "--quiet", "--all", "--message", `Release ${version}`], { cwd: root });
}
