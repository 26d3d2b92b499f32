import { type EventKind, isAsSevereAs, type Severity } from "#router/event-log/event-kinds.js";
import type { EventRow } from "#router/event-log/event-row.js";

/** The flags of `weave events` that choose events. */
export interface EventChoice {
  readonly since?: string | undefined;
  readonly peer?: string | undefined;
  readonly severity?: Severity | undefined;
  readonly kind?: EventKind | undefined;
}

/** Milliseconds of each unit of an age. */
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Returns what decides whether an event is shown. @param now milliseconds since the Unix epoch */
export function eventSelection({ since, peer, severity, kind }: EventChoice, now: number): (row: EventRow) => boolean {
  const from = since === undefined ? undefined : timeOf(since, now);
  return (row) =>
    (from === undefined || Date.parse(row.Time) >= from) &&
    (peer === undefined || concerns(row, peer)) &&
    (severity === undefined || isAsSevereAs(row.Severity as Severity, severity)) &&
    (kind === undefined || row.Kind === kind);
}

function timeOf(since: string, now: number): number {
  const age = /^(\d+)([smhd])$/.exec(since);
  return age === null ? Date.parse(since) : now - Number(age[1]) * UNIT_MS[age[2]];
}

/** Whether a peer reports an event, or is its subject, `name(nickname)`. */
const concerns = ({ Peer, Nickname, Subject }: EventRow, who: string): boolean =>
  [Peer, Nickname, Subject].includes(who) || Subject.startsWith(`${who}(`) || Subject.endsWith(`(${who})`);
