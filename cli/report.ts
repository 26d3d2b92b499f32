import { mustCall } from "./client.js";
import { usage } from "./exit.js";

/** `weave report [-f format]` */
export async function run(args: readonly string[]): Promise<void> {
  if (args.length === 0) process.stdout.write(await mustCall({ path: "/report", accept: "application/json" }));
  else if (args.length === 2 && args[0] === "-f")
    process.stdout.write(await mustCall({ path: `/report?${new URLSearchParams({ format: args[1] })}` }));
  else throw usage();
}
