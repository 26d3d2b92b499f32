import { type ErrorCode, WeaveError } from "#src/errors.js";
import { fileRemedy } from "#src/file-error.js";
import { missingModule } from "#src/installation.js";

/** Error that ends a command with an exit status. `text` goes to standard error. */
export class Exit extends Error {
  readonly status: number;
  /** Code of the router's error, if it has one. */
  readonly code: ErrorCode | undefined;

  constructor(status: number, text = "", code?: ErrorCode) {
    super(text);
    this.status = status;
    this.code = code;
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
  const text = failureText(error);
  if (text !== "") process.stderr.write(`${text}\n`);
  return statusOf(error);
}

/** Exit status of a command that an error ended. */
export function statusOf(error: unknown): number {
  if (error instanceof Exit) return error.status;
  return error instanceof WeaveError ? error.exit : 1;
}

/** The text of an error that ended a command; "" for one that is silent. */
export function failureText(error: unknown): string {
  if (error instanceof Exit) return error.message;
  if (error instanceof WeaveError) return error.text;
  if (isSystemError(error)) {
    const remedy = error.path === undefined ? undefined : fileRemedy(error, error.path);
    return `${error.message}${remedy === undefined ? "" : `\n${remedy}`}`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Whether a system call failed, which its message explains. The stack of any other error helps to find its cause. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}
