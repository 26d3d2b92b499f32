import { SHELLS } from "#cli/support/command-table.js";
import { rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { nearest } from "#src/nearest.js";

/** `weave completion bash|zsh|fish`: prints the completion script for a shell. */
export async function run(args: readonly string[]): Promise<void> {
  const [word, ...more] = readFlags("completion", args).words;
  if (word === undefined) throw usageError("a shell is missing");
  const shell = SHELLS.find((each) => each === word);
  if (shell === undefined) {
    const near = nearest(word, SHELLS);
    throw usageError(
      `no completion for ${word.slice(0, 64)}: the shells are ${SHELLS.join(", ")}${near === undefined ? "" : `; did you mean ${near}?`}`,
    );
  }
  rejectExtra(more);
  // Loaded on demand, with all flags of `launch`.
  const { completionFor } = await import("#cli/completion/scripts.js");
  process.stdout.write(completionFor(shell));
}
