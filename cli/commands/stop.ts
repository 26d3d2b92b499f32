import { supervisionHere } from "#cli/supervision/here.js";
import { call } from "#cli/support/client.js";
import { rejectExtra } from "#cli/support/exit.js";
import { leaveDocker } from "#cli/support/leave-docker.js";
import { managedPlugin } from "#cli/support/managed-plugin.js";
import { runningProcesses } from "#cli/support/processes.js";
import { readFlags } from "#cli/support/read-flags.js";
import { controlSocket, paths } from "#src/paths.js";
import { requireRoot } from "#src/root.js";

/** Limit for an answer. A router that takes longer hangs. */
const ANSWER_MS = 2_000;

/** `weave stop`: stops the router. The bridge, attached containers and the database stay. */
export async function run(args: readonly string[]): Promise<void> {
  rejectExtra(readFlags("stop", args).words);
  requireRoot();
  if (runningProcesses().router !== undefined && (await answers())) await leaveDocker();
  const plugin = managedPlugin();
  if (!(await (await supervisionHere()).stop())) process.stderr.write("Weave is not running.\n");
  else if (plugin !== undefined)
    process.stderr.write(
      `Docker's managed plugin${plugin && ` ${plugin}`} starts the router again at once; 'docker plugin disable' stops it.\n`,
    );
}

/** Whether the router answers. If it hangs, Docker would wait for the plugin, and this command for Docker. */
async function answers(): Promise<boolean> {
  const { status } = await call({ path: "/status", address: controlSocket(paths().run), answerMs: ANSWER_MS }).catch(
    () => ({ status: 0 }),
  );
  return status !== 0;
}
