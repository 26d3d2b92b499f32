import { Exit, rejectExtra } from "#cli/support/exit.js";
import { callExplainingWait, timeoutForm } from "#cli/support/patience.js";
import { progress } from "#cli/support/progress.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave prime [--timeout seconds]`: returns when addresses can be allocated. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("prime", args);
  rejectExtra(words);
  const { status, body } = await progress("waiting until addresses can be allocated", () =>
    callExplainingWait(async () => "", { path: `/ring?${timeoutForm(values.timeout)}` }),
  );
  if (status === 404) throw new Exit(4);
  if (status !== 200) throw new Exit(1, body.trimEnd());
}
