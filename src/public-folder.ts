import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "#src/make-folder.js";

/** Mode of a public folder: all users may enter and read it. The umask of weave's processes (077) would deny both. */
const MODE = 0o755;

/** Makes a folder and its missing parents, for all users to enter. Existing folders keep their mode. */
export function makePublicFolder(path: string): void {
  const first = makeFolder(path);
  if (first === undefined) return;
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) chmodSync(folder, MODE);
}
