import { mustCall, REPORT_MS } from "#cli/support/client.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave report [-f format]`: prints the router's report as JSON, or by a template. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("report", args);
  rejectExtra(words);
  const { format } = values;
  if (format === undefined) {
    process.stdout.write(await mustCall({ path: "/report", accept: "application/json", answerMs: REPORT_MS }));
    return;
  }
  const text = await mustCall({ path: `/report?${new URLSearchParams({ format })}`, answerMs: REPORT_MS });
  // Scripts receive exactly the text of the template, as from Weave Net. On a terminal a line end precedes the next prompt.
  process.stdout.write(process.stdout.isTTY && !text.endsWith("\n") ? `${text}\n` : text);
}
