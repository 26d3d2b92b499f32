import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { lastLaunchText } from "#cli/launch/resume.js";
import type { SupervisionKind } from "#cli/support/supervised.js";
import type { LaunchOptions } from "#router/options.js";
import { errorText } from "#src/errors.js";
import { makeFolder } from "#src/make-folder.js";
import { failureFile, lastLaunchFile, launchFile, paths, routerFile, supervisionFile } from "#src/paths.js";

/**
 * Writes the name of what will keep the router running. Removes the files of its predecessor, which would be mistaken for files of
 * this one.
 */
export function writeSupervisionFile(kind: SupervisionKind): void {
  const { run } = paths();
  for (const file of [failureFile(run), routerFile(run)]) rmSync(file, { force: true });
  writeFileSync(supervisionFile(run), kind, { mode: 0o644 });
}

/** Does the same, and writes the options for the router. */
export function writeLaunchFile(options: LaunchOptions, kind: SupervisionKind): void {
  const { run } = paths();
  writeSupervisionFile(kind);
  // Only root may read the file: it may contain the password.
  writeFileSync(launchFile(run), JSON.stringify(options), { mode: 0o600 });
  chmodSync(launchFile(run), 0o600);
}

/** Stores the options for `--resume` of the next launch. A failure is only a warning. */
export function saveLastLaunch(options: LaunchOptions): void {
  const file = lastLaunchFile(options.dbPrefix);
  try {
    makeFolder(dirname(file), 0o700);
    writeFileSync(file, lastLaunchText(options), { mode: 0o600 });
  } catch (error) {
    process.stderr.write(`WARNING: this launch is not stored for 'launch --resume': ${errorText(error)}\n`);
  }
}
