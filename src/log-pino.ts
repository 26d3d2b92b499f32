import { pino } from "pino";
import type { Log, LogLevel } from "#src/log.js";

export interface LogTarget extends Log {
  /** Opens the file anew, after it was renamed. No effect on standard output. */
  reopen(): void;
}

/**
 * JSON lines by pino, to `file` or, without one, to standard output (the journal's, under systemd). Written
 * synchronously: the line before a crash is the one that matters.
 */
export function pinoLog(options: { level: LogLevel; file?: string }): LogTarget {
  const destination = pino.destination({ dest: options.file ?? 1, sync: true, mkdir: true });
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  const write = (level: LogLevel) => (message: string, fields?: object) => logger[level](fields ?? {}, message);
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    reopen: () => {
      if (options.file !== undefined) destination.reopen();
    },
  };
}
