import type { Clock } from "#src/clock.js";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Structured log. The message is a fixed phrase; what varies goes into the fields. */
export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** One line a second for one kind of event is news; more would bury the rest. */
const REPEAT_AFTER_MS = 1_000;
/** Distinct messages whose time is kept; past that the oldest is forgotten. */
const REMEMBERED = 256;

/**
 * Passes warnings and errors on at most once a second for each message text; the next one that passes carries `repeated`,
 * the count that was held back. What outsiders can provoke at will must be logged through this.
 */
export function limited(log: Log, clock: Clock): Log {
  const seen = new Map<string, { at: number; held: number }>();
  const pass = (level: LogLevel, message: string, fields?: object) => {
    const now = clock.now();
    const last = seen.get(message);
    if (last !== undefined && now - last.at < REPEAT_AFTER_MS) {
      last.held++;
      return;
    }
    const repeated = last?.held ?? 0;
    seen.delete(message);
    seen.set(message, { at: now, held: 0 });
    if (seen.size > REMEMBERED) seen.delete(seen.keys().next().value as string);
    log[level](message, repeated > 0 ? { ...fields, repeated } : fields);
  };
  return {
    debug: (message, fields) => log.debug(message, fields),
    info: (message, fields) => pass("info", message, fields),
    warn: (message, fields) => pass("warn", message, fields),
    error: (message, fields) => pass("error", message, fields),
  };
}
