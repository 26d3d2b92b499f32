import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./project.mjs";

/** Folders of the project that are made or fetched. */
const NOT_SOURCES = [".git", "build", "dist", "node_modules"];

/** Returns a checksum of all files of the project. From equal files a build makes equal bytes. */
export function sourceState() {
  const hash = createHash("sha256");
  const add = (folder) => {
    const entries = readdirSync(join(root, folder), { withFileTypes: true });
    for (const { name } of entries.filter((entry) => entry.isFile()).sort(byName))
      hash.update(`${join(folder, name)}\n`).update(readFileSync(join(root, folder, name)));
    for (const { name } of entries.filter((entry) => entry.isDirectory()).sort(byName))
      if (!NOT_SOURCES.includes(join(folder, name))) add(join(folder, name));
  };
  add("");
  return hash.digest("hex");
}

const byName = (a, b) => (a.name < b.name ? -1 : 1);
