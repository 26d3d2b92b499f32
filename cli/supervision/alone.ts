import { launchInProgress } from "#cli/supervision/launch-files.js";
import { launchingFile, paths } from "#src/paths.js";
import { claimPid, removePid } from "#src/pid-file.js";

/** Runs a function while no launch, restart or restore of this host may. @throws WEAVE_RUNNING when one is in progress */
export async function alone(run: () => Promise<void>): Promise<void> {
  const launching = launchingFile(paths().run);
  if (!claimPid(launching)) throw launchInProgress();
  try {
    await run();
  } finally {
    removePid(launching);
  }
}
