import { supervisionHere } from "#cli/supervision/here.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { WeaveError } from "#src/errors.js";
import { checkInstallation } from "#src/installation.js";
import { requireRoot } from "#src/root.js";

/**
 * `weave restart`: starts the router again from the code that is on disk now, with the options of the last launch. The bridge,
 * attached containers, their addresses and Docker's network stay.
 */
export async function run(args: readonly string[]): Promise<void> {
  rejectExtra(readFlags("restart", args).words);
  requireRoot();
  // While the router still runs.
  checkInstallation();
  const supervision = await supervisionHere();
  if (!(await supervision.isOn()))
    throw new WeaveError("WEAVE_NOT_RUNNING", "weave is not running: there is no router to start again", {
      next: "'weave launch' starts one.",
    });
  await supervision.restart();
}
