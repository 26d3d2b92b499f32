import { VERSION } from "#src/version.js";

/** Reports on standard error that the router is of another version than this command: it was not restarted after an upgrade. */
export function noteOtherVersion(running: string | undefined): void {
  if (running === undefined || running === VERSION) return;
  process.stderr.write(
    `The router still runs version ${running}, and this command is ${VERSION}: 'weave restart' starts the router of ${VERSION}.\n`,
  );
}
