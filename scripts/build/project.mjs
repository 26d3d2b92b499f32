import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder of the project, with a final slash. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

const json = (path) => JSON.parse(readFileSync(`${root}${path}`, "utf8"));

/** package.json. */
export const manifest = json("package.json");

/** The packages of package-lock.json, by their folders: `node_modules/NAME`. */
export const lockedPackages = json("package-lock.json").packages;

/** Version and checksum of a package of package-lock.json. @param {string} name @throws Error when it is not there */
export function locked(name) {
  const entry = lockedPackages[`node_modules/${name}`];
  if (entry?.integrity === undefined) throw new Error(`package-lock.json has no checksum of ${name}`);
  return { name, version: entry.version, integrity: entry.integrity };
}
