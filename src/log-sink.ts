import { closeSync, constants, fstatSync, mkdirSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { errorText, systemCode } from "#src/errors.js";
import { setNonBlocking } from "#src/linux/native/files.js";
import type { LogLevel } from "#src/log.js";

/** Pending bytes for a slow disk or reader; beyond that lines are dropped and counted. A pipe holds 64 KB by itself (pipe(7)). */
const PENDING_BYTES = 256 << 10;
/** Delay before a slow reader is tried again; */
const SLOW_RETRY_MS = 100;
/** and a log that cannot be written. */
const FAILED_RETRY_MS = 1_000;
/** A larger file is renamed to `.1`, and replaces the previous one. */
const ROTATE_BYTES = 16 << 20;
const CHECK_MS = 10_000;
const STDOUT = 1;
const STDERR = 2;
/** Never blocks: a pipe without a reader, or with a full buffer, is an error instead (open(2), fifo(7)). */
const WRITE_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK;
/** Names, addresses and peers are for the operator alone. */
const MODE = 0o600;

/** One line of the log, as pino writes them. */
export function logLine(level: LogLevel, message: string, fields: object = {}): string {
  return `${JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg: message })}\n`;
}

export interface LogSinkOptions {
  /** Undefined: standard output. */
  readonly file?: string;
  /** Called when the problem of the log changes; undefined: there is none any more. */
  readonly onProblem?: (problem: string | undefined) => void;
}

/**
 * The destination of log lines: a file, or standard output. A line is written at once if possible, because the line before a
 * crash is the most important one. Nothing here throws, blocks, or ends the process:
 *
 * - after an error (disk full, reader gone, folder deleted) lines are pending, and are tried again each second;
 * - lines are pending, too, while a reader does not read;
 * - when more than {@link PENDING_BYTES} are pending, further lines are dropped; a line contains their number once the log is
 *   written again.
 */
export class LogSink {
  readonly #file: string | undefined;
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
  /** Since the log was last in order. */
  #lostNow = 0;

  constructor({ file, onProblem = () => {} }: LogSinkOptions) {
    this.#file = file;
    this.#onProblem = onProblem;
    if (file !== undefined) this.#check = setInterval(() => this.check(), CHECK_MS).unref();
  }

  /** Lines that were dropped, since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Takes one line, with its line break. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#pendingBytes + bytes.length > PENDING_BYTES) {
      this.#lost++;
      this.#lostNow++;
      if (this.#failure === undefined) this.#failed("its reader does not read");
      return;
    }
    this.#push(bytes);
    if (this.#retry === undefined) this.#write();
  }

  /** Writes pending lines before their time: before the process ends. */
  flush(): void {
    this.#write();
  }

  /** Renames a large file, and makes a file again that was moved or deleted. */
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

  /** Writes pending lines, as far as possible. */
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
      this.#push(Buffer.from(logLine("warn", "the log could not be written for a while", { why, lost })));
      this.#drain();
    } catch (error) {
      const slow = systemCode(error) === "EAGAIN";
      if (!slow) {
        // It is opened again: the file may be another one by then.
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
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
    return openSync(this.#file, WRITE_FLAGS | constants.O_CREAT, MODE);
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined || fd === STDOUT) return;
    try {
      closeSync(fd);
    } catch {
      // A full disk may be reported again (close(2)).
    }
  }

  #failed(why: string): void {
    const known = this.#failure !== undefined;
    // The first error is the cause; later ones often come from the attempt to open it again.
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

/** Writes the last lines of a process to standard error, as far as possible without blocking. */
export function lastWords(text: string): void {
  try {
    writeSync(openAgain(STDERR), text);
  } catch {
    // It has no reader.
  }
}

/**
 * Standard output or standard error, made non-blocking. A pipe, a file or a terminal is opened once more: the flag belongs to the
 * open file, which other processes (a shell) share. A socket (the journal's) cannot be opened, and is ours alone.
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
