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

/** Priorities of syslog(3), which systemd-journald reads from the beginning of a line (sd-daemon(3)). */
const PRIORITIES: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

export interface PinoLogOptions extends LogSinkOptions {
  readonly level: LogLevel;
  /** Whether each line begins with its priority, for the journal. */
  readonly priorities?: boolean;
}

/** Makes a log of JSON lines (pino), written to a file, or to standard output without one. */
export function pinoLog({ level, priorities = false, ...to }: PinoLogOptions): LogTarget {
  const sink = new LogSink(to);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    priorities ? { write: (line) => sink.write(withPriority(line)) } : sink,
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

/** A line begins with its level, as {@link pinoLog} formats it. */
function withPriority(line: string): string {
  const level = /^\{"level":"(\w+)"/.exec(line)?.[1] as LogLevel | undefined;
  return `<${PRIORITIES[level ?? "info"]}>${line}`;
}
