import { printDocument } from "#cli/json/document.js";
import { traceDocument } from "#cli/probes/documents.js";
import { traceLines } from "#cli/probes/trace-text.js";
import { verdictOf } from "#cli/probes/verdict.js";
import { callJson } from "#cli/support/client.js";
import { rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import type { TraceReply } from "#router/probes/routes.js";

/** Limit for a trace: each silent router on the way takes 4 s. */
const TRACE_MS = 120_000;
/** Exit status when the way ends before the far end. */
const EXIT_ENDS = 2;

/** `weave trace [from] to`: prints each step of the way of frames, and where it ends. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("trace", args);
  const [first, second, ...more] = words;
  if (first === undefined) throw usageError("the far end is missing: a peer, container or address");
  rejectExtra(more);
  const form = new URLSearchParams(second === undefined ? { to: first } : { from: first, to: second });
  const { trace, nicknames } = await callJson<TraceReply>({
    method: "POST",
    path: "/probes/trace",
    form,
    answerMs: TRACE_MS,
  });
  const verdict = verdictOf(trace, nicknames);
  process.exitCode = verdict.end === undefined ? 0 : EXIT_ENDS;
  if (values.json) return printDocument("trace", traceDocument(trace, verdict, nicknames));
  process.stdout.write(`${traceLines(trace, verdict, nicknames).join("\n")}\n`);
}
