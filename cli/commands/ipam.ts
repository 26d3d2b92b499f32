import { mustCall } from "#cli/support/client.js";
import { rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave ipam explain [address|peer]`: prints the owner of an address or the parts of a peer, since when, and why. */
export async function run(args: readonly string[]): Promise<void> {
  const [word, what = "", ...more] = readFlags("ipam", args).words;
  if (word !== "explain")
    throw usageError(word === undefined ? "a sub-command is missing" : `unknown sub-command: ${word}`);
  rejectExtra(more);
  process.stdout.write(await mustCall({ path: `/ipinfo/explain?${new URLSearchParams({ what })}` }));
}
