import { pino } from "pino";
import type { Log, LogLevel } from "#src/log.js";
import { LogSink, type LogSinkOptions } from "#src/log-sink.js";

/** A log that writes to a {@link LogSink}. */
export interface LogTarget extends Log {
  /** Number of lines dropped since the start. */
  readonly lost: number;
  setLevel(level: LogLevel): void;
  /** Tries to write the pending lines now: for use before the process ends. */
  flush(): void;
}

export interface PinoLogOptions extends LogSinkOptions {
  readonly level: LogLevel;
}

/** Makes a log of JSON lines (pino), written to a file, or to standard output without one. */
export function pinoLog({ level, ...to }: PinoLogOptions): LogTarget {
  const sink = new LogSink(to);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
  const write = (level: LogLevel) => (message: string, fields?: object) => logger[level](fields ?? {}, message);
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    get lost() {
      return sink.lost;
    },
    setLevel: (level) => {
      logger.level = level;
    },
    flush: () => sink.flush(),
  };
}
