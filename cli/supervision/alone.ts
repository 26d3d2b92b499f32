import { WeaveError } from "#src/errors.js";
import { writingIn } from "#src/file-error.js";
import { launchingFile, paths } from "#src/paths.js";
import { claimPid, removePid } from "#src/pid-file.js";

/**
 * Runs a function while no launch, restart or restore of this host may. The run folder exists.
 *
 * @throws WEAVE_RUNNING when one is in progress; WEAVE_FILE when the run folder cannot be written
 */
export async function alone(run: () => Promise<void>): Promise<void> {
  const { run: runDir } = paths();
  const launching = launchingFile(runDir);
  if (!writingIn(runDir, "WEAVE_RUN_DIR", () => claimPid(launching)))
    throw new WeaveError("WEAVE_RUNNING", "another 'weave launch' or 'weave restart' is in progress on this host", {
      next: "'weave status' shows the router when it answers; 'weave stop' ends it.",
    });
  try {
    await run();
  } finally {
    removePid(launching);
  }
}
