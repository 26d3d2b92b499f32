import { documentText, printDocument } from "#cli/json/document.js";
import { coloured } from "#cli/support/colour.js";
import { followEvents, knownEvents } from "#cli/support/event-following.js";
import { eventSelection } from "#cli/support/event-selection.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import type { EventRow } from "#router/event-log/event-row.js";
import { WeaveError } from "#src/errors.js";
import { printableText } from "#src/text.js";

/** Events that are shown without `--limit`. */
const DEFAULT_LIMIT = 100;
/** Columns of the origin and of the severity. */
const ORIGIN_COLUMNS = 12;
const SEVERITY_COLUMNS = 7;

/** `weave events [-f]`: prints what happened on this host and in the network, one event a line, oldest first. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("events", args);
  rejectExtra(words);
  const { follow, json, limit = DEFAULT_LIMIT } = values;
  const isShown = eventSelection(values, Date.now());
  const chosen = (rows: readonly EventRow[]) => rows.filter(isShown).slice(-limit);
  if (!follow) {
    const rows = chosen(await eventsHere());
    return json ? printDocument("events", { Events: rows }) : print(rows);
  }
  await followEvents(
    (rows) => {
      if (!json) return print(chosen(rows));
      for (const row of chosen(rows)) process.stdout.write(documentText("events", { Events: [row] }, true));
    },
    (text) => void process.stderr.write(`${text}\n`),
  );
}

/** The events of this host's router, or, when none answers, those up to the end of the last one. */
async function eventsHere(): Promise<readonly EventRow[]> {
  try {
    return await knownEvents();
  } catch (error) {
    if (!(error instanceof WeaveError && error.code === "WEAVE_NOT_RUNNING") || process.env.WEAVE_HTTP_ADDR)
      throw error;
    const { keptEvents } = await import("#cli/backup/kept-events.js");
    const rows = await keptEvents();
    if (rows === undefined) throw error;
    process.stderr.write("no router answers: these are the events up to the end of the last one\n");
    return rows;
  }
}

function print(rows: readonly EventRow[]): void {
  for (const row of rows) process.stdout.write(`${lineOf(row)}\n`);
}

function lineOf({ Time, Peer, Nickname, Severity, Kind, Text }: EventRow): string {
  const colour = { warning: "yellow", error: "red" } as const;
  const level = Severity.padEnd(SEVERITY_COLUMNS);
  const shown = Severity in colour ? coloured(level, colour[Severity as keyof typeof colour]) : level;
  // What other peers report: nothing of it may control the terminal.
  const [origin, text] = [printableText(Nickname || Peer), printableText(Text)];
  return `${localTime(Time)}  ${origin.padEnd(ORIGIN_COLUMNS)}  ${shown}  ${Kind}: ${text}`;
}

/** A time by this host's clock and zone, to the second: `2026-01-31 18:00:00`. */
function localTime(iso: string): string {
  const time = new Date(iso);
  const local = new Date(time.getTime() - time.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace("T", " ");
}
