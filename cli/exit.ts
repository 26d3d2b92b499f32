import { WeaveError } from "#src/errors.js";
import { USAGE } from "./usage.js";

/** Ends a command with an exit status; `text` goes to standard error. */
export class Exit extends Error {
  readonly status: number;

  constructor(status: number, text = "") {
    super(text);
    this.status = status;
  }
}

/** Wrong arguments: the usage, and status 1. */
export function usage(first?: string): Exit {
  return new Exit(1, first === undefined ? USAGE.trimEnd() : `${first}\n\n${USAGE.trimEnd()}`);
}

/** Prints what ended a command, and returns its exit status. */
export function report(error: unknown): number {
  if (error instanceof Exit) {
    if (error.message !== "") process.stderr.write(`${error.message}\n`);
    return error.status;
  }
  if (error instanceof WeaveError) {
    process.stderr.write(`${error.text}\n`);
    return error.exit;
  }
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
