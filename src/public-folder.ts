import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

/** All users may enter and read it; our processes make everything else for their owner alone (umask 077). */
const MODE = 0o755;

/** Makes a folder, and those above it, that other users of the host must be able to enter. Existing ones keep their mode. */
export function makePublicFolder(path: string): void {
  const first = mkdirSync(path, { recursive: true });
  if (first === undefined) return;
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) chmodSync(folder, MODE);
}
