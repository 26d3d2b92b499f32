import { pino } from "pino";
import type { Log, LogLevel } from "#src/log.js";
import { LogSink, type LogSinkOptions } from "#src/log-sink.js";

export interface LogTarget extends Log {
  /** Lines that could not be written, since the start. */
  readonly lost: number;
  setLevel(level: LogLevel): void;
  /** Tries once more to write the pending lines: before the process ends. */
  flush(): void;
}

/** JSON lines by pino, to a file or, without one, to standard output (the journal's, under systemd). */
export function pinoLog({ level, ...to }: { level: LogLevel } & LogSinkOptions): LogTarget {
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
