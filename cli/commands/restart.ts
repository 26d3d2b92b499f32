import { supervisionHere } from "#cli/supervision/here.js";
import { rejectExtra } from "#cli/support/exit.js";
import { progress } from "#cli/support/progress.js";
import { readFlags } from "#cli/support/read-flags.js";
import { WeaveError } from "#src/errors.js";
import { checkInstallation } from "#src/installation.js";
import { requireRoot } from "#src/root.js";

/**
 * `weave restart`: starts the router again from the code that is on disk now, with the options of the last launch. The bridge,
 * attached containers, their addresses and Docker's network stay. A router in a container starts from the image that its name means
 * now, or from another one.
 */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("restart", args);
  rejectExtra(words);
  requireRoot();
  // While the router still runs.
  checkInstallation();
  const supervision = await supervisionHere();
  if (!(await supervision.isOn()))
    throw new WeaveError("WEAVE_NOT_RUNNING", "weave is not running: there is no router to start again", {
      next: "'weave launch' starts one.",
    });
  const image = values.image ?? process.env.WEAVE_IMAGE;
  if (image === undefined || image === "") return progress("starting the router again", () => supervision.restart());
  if (supervision.kind !== "container" && values.image !== undefined)
    throw new WeaveError("WEAVE_FLAG_INVALID", "--image is for a router in a container, and this one is in none", {
      next: "'weave stop' and 'weave launch --image' put it into one; its state is new then.",
    });
  await progress(`starting the router again, from ${image}`, () => supervision.restart(image));
}
