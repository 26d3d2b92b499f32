import { mustCall } from "./client.js";
import { usage } from "./exit.js";

/** `weave forget peer…` */
export async function run(args: readonly string[]): Promise<void> {
  if (args.length === 0) throw usage();
  await mustCall({
    method: "POST",
    path: "/forget",
    form: new URLSearchParams(args.map((peer): [string, string] => ["peer", peer])),
  });
}
