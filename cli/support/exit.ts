import { WeaveError } from "#src/errors.js";
import { fileRemedy } from "#src/file-error.js";
import { missingModule } from "#src/installation.js";

/** Error that ends a command with an exit status. `text` goes to standard error. */
export class Exit extends Error {
  readonly status: number;

  constructor(status: number, text = "") {
    super(text);
    this.status = status;
  }
}

/** Error for wrong arguments: the command prints the reason and its usage, and ends with status 1. */
export class UsageError extends Error {}

/** Creates the error for wrong arguments. */
export const usageError = (reason: string): UsageError => new UsageError(reason);

/** Rejects arguments that a command does not accept. @throws UsageError if there are any */
export function rejectExtra(args: readonly string[]): void {
  if (args.length > 0) throw usageError(`unexpected argument: ${args[0].slice(0, 64)}`);
}

/** Prints the error that ended a command, and returns the exit status. */
export function printFailure(thrown: unknown): number {
  const error = missingModule(thrown) ?? thrown;
  if (error instanceof Exit) {
    if (error.message !== "") process.stderr.write(`${error.message}\n`);
    return error.status;
  }
  if (error instanceof WeaveError) {
    process.stderr.write(`${error.text}\n`);
    return error.exit;
  }
  if (isSystemError(error)) {
    const remedy = error.path === undefined ? undefined : fileRemedy(error, error.path);
    process.stderr.write(`${error.message}\n${remedy === undefined ? "" : `${remedy}\n`}`);
    return 1;
  }
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}

/** Whether a system call failed, which its message explains. The stack of any other error helps to find its cause. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}
