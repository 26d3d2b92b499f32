import { printDocument } from "#cli/json/document.js";
import { mustCall, REPORT_MS } from "#cli/support/client.js";
import { rejectExtra, usageError } from "#cli/support/exit.js";
import { fullReport } from "#cli/support/full-report.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave report [-f format]`: prints the router's report as JSON, or by a template. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("report", args);
  rejectExtra(words);
  const { format, json } = values;
  if (json) {
    if (format !== undefined) throw usageError("-f is a format of its own: not with --json");
    return printDocument("report", await fullReport());
  }
  if (format === undefined) {
    process.stdout.write(await mustCall({ path: "/report", accept: "application/json", answerMs: REPORT_MS }));
    return;
  }
  const text = await mustCall({
    path: `/report?${new URLSearchParams({ format })}`,
    accept: "text/plain",
    answerMs: REPORT_MS,
  });
  // Scripts receive exactly the text of the template, as from Weave Net. On a terminal a line end precedes the next prompt.
  process.stdout.write(process.stdout.isTTY && !text.endsWith("\n") ? `${text}\n` : text);
}
