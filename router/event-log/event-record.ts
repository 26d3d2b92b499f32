import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import { countShape, type PeerName } from "#mesh/peer.js";
import type { RecordFormat } from "#mesh/replica/record-format.js";
import {
  checkedDraft,
  eventId,
  eventKind,
  eventNumber,
  MAX_EVENT_SUBJECT,
  MAX_EVENT_TEXT,
  type NetworkEvent,
} from "#router/event-log/event.js";
import { SEVERITIES } from "#router/event-log/event-kinds.js";

/** Events that a peer announces at a time: a later one takes the place of the oldest. */
export const SLOTS = 16;
/** Longest name of a kind, also of later versions. */
const MAX_KIND = 32;

/** An event in the place where its origin announces it. */
export interface EventFields {
  /** 0 to {@link SLOTS} − 1. */
  readonly slot: number;
  readonly number: number;
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
  /** Also a kind of a later version. */
  readonly kind: string;
  /** Index in {@link SEVERITIES}. */
  readonly severity: number;
  readonly subject: string;
  readonly text: string;
}

const upTo = (max: number) => z.number().check(z.int(), z.gte(0), z.lte(max));
const textUpTo = (max: number) => z.string().check(z.maxLength(max));

/**
 * The format of announced events, for the replica. A state with another number of events, or a longer text, is rejected as a whole. The
 * origin is not in the record: a peer announces its own events alone.
 */
export const EVENT_FORMAT: RecordFormat<EventFields> = {
  name: "events",
  shape: z.tuple([
    upTo(SLOTS - 1),
    countShape,
    countShape,
    textUpTo(MAX_KIND),
    upTo(SEVERITIES.length - 1),
    textUpTo(MAX_EVENT_SUBJECT),
    textUpTo(MAX_EVENT_TEXT),
  ]) as unknown as ZodMiniType<readonly unknown[]>,
  pack: ({ slot, number, time, kind, severity, subject, text }) => [slot, number, time, kind, severity, subject, text],
  unpack: ([slot, number, time, kind, severity, subject, text]) =>
    ({ slot, number, time, kind, severity, subject, text }) as EventFields,
  keyOf: ({ slot }) => String(slot),
  heapBytes: ({ kind, subject, text }) => 2 * (kind.length + subject.length + text.length),
};

/** Puts an event of this host in a place. */
export function fieldsOfEvent(event: NetworkEvent, slot: number): EventFields {
  const { time, kind, severity, subject, text } = event;
  return { slot, number: eventNumber(event), time, kind, severity: SEVERITIES.indexOf(severity), subject, text };
}

/** The event that a peer has announced. @param latest the latest time that it can have, in milliseconds since the Unix epoch */
export function eventOfFields(peer: PeerName, fields: EventFields, latest: number): NetworkEvent {
  const { number, time, kind, severity, subject, text } = fields;
  const draft = checkedDraft({ kind: eventKind(kind), severity: SEVERITIES[severity], subject, text });
  return { id: eventId(peer, number), time: Math.min(time, latest), peer, ...draft };
}
