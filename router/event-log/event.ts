import type { PeerName } from "#mesh/peer.js";
import { EVENT_KINDS, type EventKind, type Severity } from "#router/event-log/event-kinds.js";
import { shortLine } from "#src/text.js";

export type { EventKind, Severity };

/** Maximum number of characters of a subject and of a text. */
export const MAX_EVENT_SUBJECT = 80;
export const MAX_EVENT_TEXT = 240;

/** One thing that happened at one peer. */
export interface NetworkEvent {
  /** Unique: the origin's name and the number of the event there, `7a:00:00:00:00:01/42`. */
  readonly id: string;
  /** Milliseconds since the Unix epoch, by the origin's clock. */
  readonly time: number;
  /** Name of the origin. */
  readonly peer: PeerName;
  readonly kind: EventKind;
  readonly severity: Severity;
  /** The peer, container, address or MAC concerned; "" if none. */
  readonly subject: string;
  /** One sentence, without invisible characters. */
  readonly text: string;
}

/** What an event says, before it has a time and a number. */
export type EventDraft = Pick<NetworkEvent, "kind" | "severity" | "subject" | "text">;

/** The kind of a name; `other` for one of a later version. */
export const eventKind = (name: string): EventKind =>
  Object.hasOwn(EVENT_KINDS, name) ? (name as EventKind) : "other";

/** A text as an event has it: on one line, without invisible characters, of bounded length. */
export const eventText = (text: string): string => shortLine(text, MAX_EVENT_TEXT);

/** A draft with texts as an event has them. */
export function checkedDraft({ kind, severity, subject, text }: EventDraft): EventDraft {
  return { kind, severity, subject: shortLine(subject, MAX_EVENT_SUBJECT), text: eventText(text) };
}

export const eventId = (peer: PeerName, number: number): string => `${peer}/${number}`;

/** The number of an event at its origin. */
export const eventNumber = ({ id }: Pick<NetworkEvent, "id">): number => Number(id.slice(id.indexOf("/") + 1));
