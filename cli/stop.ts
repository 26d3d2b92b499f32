import { usage } from "./exit.js";
import { stopRouter } from "./processes.js";
import { needRoot } from "./root.js";

/** `weave stop`: the bridge, what is attached to it, and the database stay. */
export async function run(args: readonly string[]): Promise<void> {
  if (args.length > 0) throw usage();
  needRoot();
  if (!(await stopRouter())) process.stderr.write("Weave is not running (ignore on Kubernetes).\n");
}
