import type { Clock } from "#src/clock.js";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Structured log. The message is a fixed phrase; variable parts are fields. */
export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Lines of one message text in a second; more would bury the rest. */
const BURST = 10;
const INTERVAL_MS = 1_000;
/** Distinct messages whose time is kept; beyond that the oldest is dropped. */
const REMEMBERED = 256;

/**
 * Passes at most {@link BURST} lines a second of each message text; the next one that passes carries `repeated`, the count
 * that was held back. Lines that an outside client can provoke must be logged through this.
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
