/**
 * The form of a document with events. Types, and what they name: programs that only read such documents, the page's among them, need
 * nothing else of the router.
 */

/** `Schema` of a document with events: `weave events --json`, `GET /events`, and each message of `GET /events/stream`. */
export const EVENTS_SCHEMA = "weave.events/1";

/** An event in a document. */
export interface EventRow {
  readonly Id: string;
  /** ISO 8601. */
  readonly Time: string;
  readonly Peer: string;
  /** "" for a peer that is not known any more. */
  readonly Nickname: string;
  readonly Kind: string;
  readonly Severity: string;
  readonly Subject: string;
  readonly Text: string;
}

/** A document with events, oldest first. */
export interface EventsDocument {
  readonly Schema: typeof EVENTS_SCHEMA;
  readonly Events: readonly EventRow[];
}
