import { linesOf, printDocument } from "#cli/json/document.js";
import { mustCall } from "#cli/support/client.js";
import { rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave ipam explain [address|peer]`: prints the owner of an address or the parts of a peer, since when, and why. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("ipam", args);
  const [word, what = "", ...more] = words;
  if (word !== "explain")
    throw usageError(word === undefined ? "a sub-command is missing" : `unknown sub-command: ${word}`);
  rejectExtra(more);
  const text = await mustCall({ path: `/ipinfo/explain?${new URLSearchParams({ what })}` });
  if (values.json) return printDocument("ipam-explain", { Lines: linesOf(text) });
  process.stdout.write(text);
}
