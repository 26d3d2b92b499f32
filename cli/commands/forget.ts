import { mustCall } from "#cli/support/client.js";
import { usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave forget peer…`: removes targets. */
export async function run(args: readonly string[]): Promise<void> {
  const { words } = readFlags("forget", args);
  if (words.length === 0) throw usageError("a peer is missing: exactly as in the launch or connect command");
  await mustCall({
    method: "POST",
    path: "/forget",
    form: new URLSearchParams(words.map((peer): [string, string] => ["peer", peer])),
  });
}
