import { type Colour, inColour } from "#src/colour.js";
import type { LogLevel } from "#src/log.js";

/** Priorities of syslog(3), which systemd-journald reads from the beginning of a line (sd-daemon(3)). */
const PRIORITIES: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

const COLOURS: Readonly<Record<string, Colour>> = { debug: "faint", warn: "yellow", error: "red" };

/** A text that needs no quotes beside others. */
const PLAIN = /^[\p{L}\p{N}_.:/@%+,()[\]-]+$/u;

/** Puts its priority before a line of the log, as logLine and pinoLog format it: for the journal. */
export function withPriority(line: string): string {
  const level = /^\{"level":"(\w+)"/.exec(line)?.[1] as LogLevel | undefined;
  return `<${PRIORITIES[level ?? "info"]}>${line}`;
}

/**
 * Formats a line of the log for a person at a terminal: the time of day, the level unless it is the usual one, the message, the fields.
 * Characters of other peers' texts that a terminal would interpret are escaped.
 *
 * @param line as pinoLog formats it; any other line stays as it is
 */
export function terminalLine(line: string, colours: boolean): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { level, time, msg, ...others } = fields;
  const clock = new Date(String(time)).toTimeString().slice(0, 8);
  const word = level === "info" ? "" : `${String(level).toUpperCase()}: `;
  const pairs = Object.entries(others).map(([key, value]) => ` ${key}=${valueText(value)}`);
  const text = `${clock} ${word}${escaped(String(msg))}${pairs.join("")}`;
  const isColoured = colours && Object.hasOwn(COLOURS, String(level));
  return `${isColoured ? inColour(text, COLOURS[String(level)]) : text}\n`;
}

function valueText(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return typeof value !== "string" || PLAIN.test(text) ? escaped(text) : escaped(JSON.stringify(text));
}

const escaped = (text: string): string =>
  text.replace(/\p{C}/gu, (each) => `\\u${each.codePointAt(0)!.toString(16).padStart(4, "0")}`);
