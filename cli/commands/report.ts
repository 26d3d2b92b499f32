import { mustCall, REPORT_MS } from "#cli/support/client.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave report [-f format]` */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("report", args);
  rejectExtra(words);
  const { format } = values;
  if (format === undefined) {
    process.stdout.write(await mustCall({ path: "/report", accept: "application/json", answerMs: REPORT_MS }));
    return;
  }
  const text = await mustCall({ path: `/report?${new URLSearchParams({ format })}`, answerMs: REPORT_MS });
  // Scripts receive the text of the template and not a byte more, as from Weave Net; a terminal needs a line end before its prompt.
  process.stdout.write(process.stdout.isTTY && !text.endsWith("\n") ? `${text}\n` : text);
}
