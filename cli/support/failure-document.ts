import { documentText } from "#cli/json/document.js";
import { Exit, failureText, UsageError } from "#cli/support/exit.js";
import { WeaveError } from "#src/errors.js";

/** The code of an error that has none of its own. */
const NO_CODE = "WEAVE_API";

/** The document of the error that ended a command, on one line: for standard error. @param status exit status of the command */
export function failureDocument(error: unknown, status: number): string {
  return documentText("error", { ...partsOf(error), Status: status }, true);
}

function partsOf(error: unknown): { Code: string; Message: string; Next: string | null } {
  if (error instanceof WeaveError) return { Code: error.code, Message: error.message, Next: error.next ?? null };
  if (error instanceof UsageError) return { Code: "WEAVE_USAGE", Message: error.message, Next: null };
  // The first line names the failure; the others have what helps.
  const text = error instanceof Exit ? error.message : failureText(error);
  const [message, ...next] = text.split("\n");
  const without = error instanceof Exit && text === "" ? "the router has no such call: the feature is off" : message;
  const code = error instanceof Exit ? error.code : undefined;
  return { Code: code ?? NO_CODE, Message: without, Next: next.length === 0 ? null : next.join("\n") };
}
