import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** A structured log. The message is a fixed phrase; variable data are fields. */
export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
}

/** A log that drops every line. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A line of a log, before it is limited or written. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A log whose lines a listener sees too, after they were written. An error of the listener is dropped: a log never throws. */
export function observed(log: Log, seen: (line: LogLine) => void): Log {
  const write =
    (level: LogLevel) =>
    (message: string, fields: object = {}) => {
      log[level](message, fields);
      try {
        seen({ level, message, fields: fields as LogLine["fields"] });
      } catch {
        // The line is in the log all the same.
      }
    };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

/** Lines of one message text that pass in {@link INTERVAL_MS}. */
const BURST = 10;
const INTERVAL_MS = 1_000;
/** Number of message texts that are counted; beyond it the least recent one is dropped. */
const REMEMBERED = 256;

/**
 * Returns a log that passes at most {@link BURST} lines a second of each message text. The next line that passes has the field
 * `repeated`: the number of suppressed lines. Debug lines are not limited. Lines that untrusted clients can cause must be logged
 * through this limit.
 */
export function limited(log: Log, clock: Clock): Log {
  const seen = new Map<string, { since: number; passed: number; held: number }>();
  const pass = (level: LogLevel, message: string, fields?: object) => {
    const now = clock.now();
    let last = seen.get(message);
    if (last !== undefined && now - last.since < INTERVAL_MS && last.passed >= BURST) {
      last.held++;
      return;
    }
    const repeated = last?.held ?? 0;
    if (last === undefined || now - last.since >= INTERVAL_MS) last = { since: now, passed: 0, held: 0 };
    last.passed++;
    last.held = 0;
    seen.delete(message);
    seen.set(message, last);
    limitSize(seen, REMEMBERED);
    log[level](message, repeated > 0 ? { ...fields, repeated } : fields);
  };
  return {
    debug: (message, fields) => log.debug(message, fields),
    info: (message, fields) => pass("info", message, fields),
    warn: (message, fields) => pass("warn", message, fields),
    error: (message, fields) => pass("error", message, fields),
  };
}
