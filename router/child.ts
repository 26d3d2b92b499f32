import { type ChildProcess, spawn } from "node:child_process";
import { errorText } from "#src/errors.js";

/** Characters kept of standard error: the end of an error that Node prints has the most information. */
const STDERR_CHARS = 2_048;
/** Time limit for the rest of standard error after the exit of the process. */
const STDERR_MS = 200;

/** How a child process ended, or why there is none. */
export interface ChildEnd {
  /** Undefined when the program could not be started. */
  readonly pid: number | undefined;
  /** Exit status; 1 for a process that a signal ended, or that could not be started. */
  readonly code: number;
  /** The end of its standard error; if that is empty, its status or signal. */
  readonly why: string;
}

export interface ChildOptions {
  /** Receives standard error, in parts. */
  readonly onStderr: (text: string) => void;
  /** Called once. */
  readonly ended: (end: ChildEnd) => void;
}

/** Starts a program, with the standard output of this one. @returns its process; undefined if it could not be started, and `ended` was called */
export function startChild(file: string, args: readonly string[], options: ChildOptions): ChildProcess | undefined {
  const { onStderr, ended } = options;
  const cannot = (error: unknown) =>
    ended({ pid: undefined, code: 1, why: `cannot start ${file}: ${errorText(error)}` });
  let child: ChildProcess;
  try {
    child = spawn(file, args, { stdio: ["ignore", "inherit", "pipe"] });
  } catch (error) {
    // Node throws some errors (E2BIG, ENOMEM), and emits others (ENOENT, EAGAIN).
    cannot(error);
    return undefined;
  }
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARS);
    onStderr(text);
  });
  child.stderr?.on("error", () => {});
  child.on("error", (error) => {
    // The event is also emitted when a signal could not be sent; then the process exists.
    if (child.pid === undefined) cannot(error);
  });
  child.once("exit", (code, signal) => {
    const timer = setTimeout(() => done(), STDERR_MS);
    const done = () => {
      clearTimeout(timer);
      child.off("close", done);
      const how = signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`;
      ended({ pid: child.pid, code: code ?? 1, why: stderr.trim() || how });
    };
    child.once("close", done);
  });
  return child;
}
