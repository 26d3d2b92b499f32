import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import { collectEvents, type LogLines } from "#router/event-log/event-collector.js";
import { eventsDocument, MAX_EVENTS } from "#router/event-log/event-document.js";
import { EventFile } from "#router/event-log/event-file.js";
import { EVENTS_CHANNEL, EventGossip } from "#router/event-log/event-gossip.js";
import { EventJournal } from "#router/event-log/event-journal.js";
import { EventStream } from "#router/event-log/event-stream.js";
import { statusRoute } from "#router/route.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import { systemClock } from "#src/clock.js";
import type { Emitter } from "#src/emitter.js";
import { WeaveError } from "#src/errors.js";
import { jsonAnswer } from "#src/http/answer.js";
import { eventFile } from "#src/paths.js";
import { VERSION } from "#src/version.js";

/** Key of the problem that events cannot be kept. */
const PROBLEM = "events";
/** Events of an answer when the client names no number. */
const DEFAULT_LIMIT = 200;

export interface EventJournalStart extends Pick<StartContext, "problems" | "resources"> {
  readonly self: PeerName;
  readonly dbPrefix: string;
  readonly lines: Emitter<LogLines>;
}

/** Reads the events of earlier starts, and collects those of this one from now on. */
export function openEventJournal({ self, dbPrefix, lines, problems, resources }: EventJournalStart): EventJournal {
  const file = new EventFile(eventFile(dbPrefix), systemClock, (problem) =>
    problem === undefined ? problems.clear(PROBLEM) : problems.set(PROBLEM, `${problem}.`),
  );
  const journal = new EventJournal({ self, file, clock: systemClock });
  // The lines of a failed start, and of an end, come after the resources are released. The file is not open between two events.
  collectEvents({ lines, problems, add: (draft) => journal.add(draft) });
  resources.add("events", () => journal.stop());
  return journal;
}

export interface EventsStart extends Pick<StartContext, "log" | "resources"> {
  readonly self: PeerName;
  readonly incarnation: number;
  readonly mesh: Mesh;
  readonly journal: EventJournal;
}

/** The events, as the API has them. */
export interface Events {
  readonly journal: EventJournal;
  readonly stream: EventStream;
}

/**
 * Announces events to other peers, takes theirs, and reports that this router has started, and later that it stops. Call this before the first
 * connection: what happened before is one announcement.
 */
export function startEvents({ self, incarnation, mesh, journal, log, resources }: EventsStart): Events {
  const stream = new EventStream({ journal, nicknameOf: nicknames(mesh), clock: systemClock });
  resources.add("event stream", () => stream.stop());
  journal.add(startEvent(journal));
  const gossip = new EventGossip({
    ...{ self, incarnation, journal, log },
    clock: systemClock,
    peers: mesh.peers,
    replicas: mesh.replicas,
    time: () => mesh.time(),
  });
  resources.add("gossip of events", () => gossip.stop());
  gossip.open(mesh.channel(EVENTS_CHANNEL, gossip.gossiper));
  resources.add("event of the stop", () => {
    journal.add({ kind: "stopped", severity: "info", subject: "", text: "the router stops" });
    gossip.flush();
  });
  return { journal, stream };
}

/** Returns the nickname of a peer, also of one that is away. */
const nicknames =
  (mesh: Mesh) =>
  (peer: PeerName): string | undefined =>
    mesh.peer(peer)?.nickname ?? mesh.trust.get(peer)?.nickname;

/** The event of a start. An earlier one without an end was killed, or the machine lost its power. */
function startEvent(journal: EventJournal) {
  const last = journal.own().findLast(({ kind }) => kind === "started" || kind === "stopped");
  const text = `the router has started, version ${VERSION}`;
  if (last?.kind !== "started") return { kind: "started", severity: "info", subject: "", text } as const;
  return {
    kind: "started",
    severity: "warning",
    subject: "",
    text: `${text}; the one before has ended without a stop: it was killed, or the machine failed`,
  } as const;
}

/** The events of this host and of others. */
export function eventService({ journal, stream }: Events, mesh: Mesh): Service {
  const nicknameOf = nicknames(mesh);
  return {
    name: "events",
    routes: () => [
      statusRoute("/events", ({ form }) =>
        jsonAnswer(eventsDocument(journal.recent(limitOf(form, DEFAULT_LIMIT)), nicknameOf)),
      ),
      statusRoute("/events/stream", ({ form, lastEventId, bySocket }) =>
        stream.answer(lastEventId, limitOf(form, 0), bySocket),
      ),
    ],
    report: () => {
      const { own, others, folded, excess } = journal.sizes;
      const { followers, dropped } = stream.counts;
      return {
        Events: { Own: own, Others: others, Folded: folded, Excess: excess, Followers: followers, Dropped: dropped },
      };
    },
    metrics: () => [
      {
        name: "weave_events_folded_total",
        help: "Events of this host that were reported together with others, because they repeated themselves.",
        type: "counter",
        read: () => journal.sizes.folded,
      },
      {
        name: "weave_events_excess_total",
        help: "Events of other peers that were dropped, because a peer announced too many.",
        type: "counter",
        read: () => journal.sizes.excess,
      },
      {
        name: "weave_events_followers_dropped_total",
        help: "Clients of GET /events/stream that were dropped because they did not read.",
        type: "counter",
        read: () => stream.counts.dropped,
      },
    ],
  };
}

/** The parameter `limit=NUMBER` of a request. @throws WEAVE_FLAG_INVALID */
function limitOf(form: URLSearchParams, byDefault: number): number {
  const text = form.get("limit");
  if (text === null) return byDefault;
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (limit <= MAX_EVENTS) return limit;
  throw new WeaveError("WEAVE_FLAG_INVALID", `invalid limit: ${JSON.stringify(text.slice(0, 64))}`, {
    next: `Give a number of events from 0 to ${MAX_EVENTS}.`,
  });
}
