import { closeSync, constants, fstatSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { errorText, systemCode } from "#src/errors.js";
import { setNonBlocking } from "#src/linux/native/files.js";
import type { LogLevel } from "#src/log.js";
import { makeFolder } from "#src/make-folder.js";

/** Bytes buffered for a slow disk or reader, beside the 64 KB of a pipe (pipe(7)). Further lines are dropped and counted. */
const PENDING_BYTES = 256 << 10;
/** Delay of the next write while the reader of a pipe is slow. */
const SLOW_RETRY_MS = 100;
/** Delay of the next write after an error. */
const FAILED_RETRY_MS = 1_000;
/** A file of this size is renamed to `.1`, in place of the previous `.1`. */
const ROTATE_BYTES = 16 << 20;
/** Interval of {@link LogSink.check}. */
const CHECK_MS = 10_000;
const STDOUT = 1;
const STDERR = 2;
/** Non-blocking: a pipe without a reader, or with a full buffer, causes an error (open(2), fifo(7)). */
const WRITE_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK;
/** Mode of a log file: names and addresses of peers are readable by its owner alone. */
const MODE = 0o600;

/** Formats one line of the log, as pino does. */
export function logLine(level: LogLevel, message: string, fields: object = {}): string {
  return `${JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg: message })}\n`;
}

export interface LogSinkOptions {
  /** Path of the log file; undefined for standard output. */
  readonly file?: string;
  /** What is written for each line, with its line break; the line itself if left out. */
  readonly format?: (line: string) => string;
  /** Called with the current problem when it changes; undefined when the log works again. */
  readonly onProblem?: (problem: string | undefined) => void;
}

/**
 * The destination of log lines: a file, or standard output. A line is written immediately if possible, because the line before
 * a crash is the most important one. No method throws, blocks, or ends the process:
 *
 * - after an error (disk full, reader gone, folder deleted) lines are buffered, and written again after a second;
 * - lines are buffered while the reader of a pipe is slow;
 * - when {@link PENDING_BYTES} are buffered, further lines are dropped; after the next successful write a line reports their
 *   number.
 */
export class LogSink {
  readonly #file: string | undefined;
  readonly #format: (line: string) => string;
  readonly #onProblem: (problem: string | undefined) => void;
  readonly #check: NodeJS.Timeout | undefined;
  #fd: number | undefined;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #retry: NodeJS.Timeout | undefined;
  /** Why lines cannot be written now. */
  #failure: string | undefined;
  /** Why a large file cannot be renamed. */
  #rotationFailure: string | undefined;
  #lost = 0;
  /** Lines dropped since the last successful write. */
  #lostNow = 0;

  constructor({ file, format = (line) => line, onProblem = () => {} }: LogSinkOptions) {
    this.#file = file;
    this.#format = format;
    this.#onProblem = onProblem;
    if (file !== undefined) this.#check = setInterval(() => this.check(), CHECK_MS).unref();
  }

  /** Number of lines dropped since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Writes or buffers one line. @param line with its line break */
  write(line: string): void {
    const bytes = Buffer.from(this.#format(line));
    if (this.#pendingBytes + bytes.length > PENDING_BYTES) {
      this.#lost++;
      this.#lostNow++;
      if (this.#failure === undefined) this.#failed("its reader does not read");
      return;
    }
    this.#push(bytes);
    if (this.#retry === undefined) this.#write();
  }

  /** Tries to write the buffered lines now: for use before the process ends. */
  flush(): void {
    this.#write();
  }

  /** Renames a large file, and makes the file again if it was moved or deleted. */
  check(): void {
    if (this.#file === undefined || this.#fd === undefined) return;
    try {
      const [named, open] = [statSync(this.#file, { throwIfNoEntry: false }), fstatSync(this.#fd)];
      const same = named !== undefined && named.ino === open.ino && named.dev === open.dev;
      const large = open.isFile() && open.size >= ROTATE_BYTES;
      if (same && large) renameSync(this.#file, `${this.#file}.1`);
      if (!same || large) this.#close();
      this.#rotated(undefined);
    } catch (error) {
      this.#rotated(`cannot put the log ${this.#file} aside: ${errorText(error)}`);
    }
  }

  close(): void {
    clearInterval(this.#check);
    clearTimeout(this.#retry);
    this.#close();
  }

  #push(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }

  /** Writes buffered lines, and schedules the next attempt after an error. */
  #write(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    try {
      this.#drain();
      if (this.#failure === undefined) return;
      const [why, lost] = [this.#failure, this.#lostNow];
      this.#failure = undefined;
      this.#lostNow = 0;
      this.#reportProblem();
      this.#push(Buffer.from(this.#format(logLine("warn", "the log could not be written for a while", { why, lost }))));
      this.#drain();
    } catch (error) {
      const slow = systemCode(error) === "EAGAIN";
      if (!slow) {
        // The next write opens the path again, which may be another file by then.
        this.#close();
        this.#failed(errorText(error));
      }
      this.#retry = setTimeout(() => this.#write(), slow ? SLOW_RETRY_MS : FAILED_RETRY_MS).unref();
    }
  }

  #drain(): void {
    while (this.#pending.length > 0) {
      this.#fd ??= this.#open();
      const [next] = this.#pending;
      const count = writeSync(this.#fd, next);
      this.#pendingBytes -= count;
      if (count < next.length) this.#pending[0] = next.subarray(count);
      else this.#pending.shift();
    }
  }

  #open(): number {
    if (this.#file === undefined) return openAgain(STDOUT);
    makeFolder(dirname(this.#file), 0o700);
    return openSync(this.#file, WRITE_FLAGS | constants.O_CREAT, MODE);
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined || fd === STDOUT) return;
    try {
      closeSync(fd);
    } catch {
      // close(2) may report the error of an earlier write again.
    }
  }

  #failed(why: string): void {
    const known = this.#failure !== undefined;
    // The first error is the cause; later ones often come from the attempts to open the file again.
    this.#failure ??= why;
    if (!known) this.#reportProblem();
  }

  #rotated(failure: string | undefined): void {
    const changed = this.#rotationFailure !== failure;
    this.#rotationFailure = failure;
    if (changed) this.#reportProblem();
  }

  #reportProblem(): void {
    const where = this.#file ?? "on standard output";
    this.#onProblem(
      this.#failure === undefined ? this.#rotationFailure : `the log ${where} cannot be written: ${this.#failure}`,
    );
  }
}

/** Writes text to standard error without blocking, before the process ends. Text that cannot be written is dropped. */
export function writeStandardError(text: string): void {
  try {
    writeSync(openAgain(STDERR), text);
  } catch {
    // Standard error has no reader.
  }
}

/**
 * Returns a non-blocking descriptor of standard output or standard error. A pipe, a file or a terminal is opened once more,
 * because the flag belongs to the open file, which other processes (a shell) share. A socket (the journal's) cannot be opened
 * again, and is not shared: its own flag is set.
 */
function openAgain(fd: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, WRITE_FLAGS);
  } catch (error) {
    // A pipe without a reader cannot be opened either.
    if (!fstatSync(fd).isSocket()) throw error;
    setNonBlocking(fd);
    return fd;
  }
}
