import type { NetworkEvent } from "#router/event-log/event.js";
import { EVENTS_SCHEMA, type EventsDocument } from "#router/event-log/event-row.js";

/** Events of its own host that a router keeps, and those of other peers. */
export const MAX_OWN_EVENTS = 1_000;
export const MAX_PEER_EVENTS = 2_000;
/** Events of a document at most: all that a router keeps. */
export const MAX_EVENTS = MAX_OWN_EVENTS + MAX_PEER_EVENTS;

/** The latest time that a JavaScript date has (ECMA-262, 21.4.1.1). */
const MAX_TIME = 8.64e15;

/** @param nicknameOf returns the nickname of a peer; undefined for an unknown one */
export function eventsDocument(
  events: readonly NetworkEvent[],
  nicknameOf: (peer: string) => string | undefined,
): EventsDocument {
  return {
    Schema: EVENTS_SCHEMA,
    Events: events.map(({ id, time, peer, kind, severity, subject, text }) => ({
      Id: id,
      Time: new Date(Math.min(time, MAX_TIME)).toISOString(),
      Peer: peer,
      Nickname: nicknameOf(peer) ?? "",
      Kind: kind,
      Severity: severity,
      Subject: subject,
      Text: text,
    })),
  };
}
