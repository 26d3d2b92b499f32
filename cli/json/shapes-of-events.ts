import type { DocumentShape } from "#cli/json/shape.js";

/** The document of `weave events`. Its form in the router: router/event-log/event-row.ts. */
export const EVENTS_SHAPE = {
  events: {
    commands: ["events"],
    fields: {
      "Events[].Id": ["text", "name of its origin and number of the event there: no other event has it"],
      "Events[].Time": ["time", "when it happened, by the clock of its origin"],
      "Events[].Peer": ["text", "name of the peer that reports it"],
      "Events[].Nickname": ["text", "its nickname; empty for a peer that is not known any more"],
      "Events[].Kind": ["text", "kind of the event, as `--kind` has it"],
      "Events[].Severity": ["text", "`info`, `warning` or `error`"],
      "Events[].Subject": ["text", "peer, container, address or MAC concerned; empty if none"],
      "Events[].Text": ["text", "what happened, in a sentence"],
    },
  },
} as const satisfies Readonly<Record<string, DocumentShape>>;
