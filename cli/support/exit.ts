import { WeaveError } from "#src/errors.js";

/** Ends a command with an exit status; `text` goes to standard error. */
export class Exit extends Error {
  readonly status: number;

  constructor(status: number, text = "") {
    super(text);
    this.status = status;
  }
}

/** Wrong arguments: the reason, the usage of the command that was called, and status 1. */
export class UsageError extends Error {}

export const usageError = (reason: string): UsageError => new UsageError(reason);

/** For commands that take no more arguments. @throws UsageError */
export function rejectExtra(args: readonly string[]): void {
  if (args.length > 0) throw usageError(`unexpected argument: ${args[0].slice(0, 64)}`);
}

/** Prints the error that ended a command, and returns the exit status. */
export function printFailure(error: unknown): number {
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
