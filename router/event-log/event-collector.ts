import { type EventDraft, eventText } from "#router/event-log/event.js";
import { eventOfLine } from "#router/event-log/log-events.js";
import type { Emitter } from "#src/emitter.js";
import { limitSize } from "#src/limit-size.js";
import type { LogLine } from "#src/log.js";
import type { Problems } from "#src/problems.js";

/** Texts of problems for which no line of the log has come yet. Most have none: a text with a changing number would fill memory. */
const MAX_SAID = 32;

/** The lines of the router's log. */
export interface LogLines {
  line: [line: LogLine];
}

export interface CollectorDeps {
  readonly lines: Emitter<LogLines>;
  readonly problems: Problems;
  /** Takes an event. */
  readonly add: (draft: EventDraft) => void;
}

/**
 * Makes events of what the router says already: lines of its log, and problems of status. So a new warning anywhere is an event.
 *
 * @returns a function that ends it
 */
export function collectEvents({ lines, problems, add }: CollectorDeps): () => void {
  const said = new Set<string>();
  const problem = (key: string, text: string) => {
    said.add(comparable(text));
    limitSize(said, MAX_SAID);
    add({ kind: "problem", severity: "warning", subject: key, text });
  };
  for (const [key, text] of problems.entries()) problem(key, text);
  const ends = [
    problems.changes.on("set", problem),
    problems.changes.on("clear", (key) =>
      add({ kind: "problem-over", severity: "info", subject: key, text: `the problem is over: ${key}` }),
    ),
    lines.on("line", (line) => {
      const draft = eventOfLine(line);
      if (draft === undefined) return;
      if (draft.kind !== "fault") return add(draft);
      // Many a problem is a line of the log too, a moment before or after.
      queueMicrotask(() => {
        if (!said.delete(comparable(draft.text))) add(draft);
      });
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}

const comparable = (text: string): string => eventText(text).replace(/\.$/, "");
