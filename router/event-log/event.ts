import { printableText } from "#mesh/peer.js";

/** The kinds of events, with what each is about, as `weave events --help` and the pages show it. */
export const EVENT_KINDS = {
  started: "a router has started",
  stopped: "a router has stopped, or has failed",
  "link-up": "this host is connected to another one",
  "link-down": "a connection has ended or failed",
  "link-silent": "a neighbour does not answer, or answers again",
  carrier: "frames to a neighbour take another carrier",
  "peer-unreachable": "no route leads to a peer",
  "peer-reachable": "a route leads to a peer again",
  "peer-forgotten": "a peer was unreachable for so long that it was dropped",
  refused: "a connection was refused: a wrong password, a second machine with the same name",
  identity: "a peer contradicts its identity, is excluded, or has retired",
  rekey: "the network's secret changes",
  takeover: "addresses of a peer went to another one",
  addresses: "hosts do not agree about addresses, or two containers have the same one",
  "mac-moved": "a MAC is at another host now",
  "mac-refused": "a MAC is claimed by two hosts, or by one that must not have it",
  attachment: "a container could not be put on the network",
  docker: "the Docker engine does not answer, or answers again",
  repair: "another program changed what weave made on the host; it was repaired",
  problem: "a problem that the router cannot repair by itself",
  "problem-over": "such a problem is over",
  fault: "any other warning or error of the log",
  other: "a kind that this version of weave does not know",
} as const;
export type EventKind = keyof typeof EVENT_KINDS;

/** In ascending order. */
export const SEVERITIES = ["info", "warning", "error"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Maximum number of characters of a subject and of a text. */
export const MAX_SUBJECT = 80;
export const MAX_EVENT_TEXT = 300;

/** One thing that happened at one peer. */
export interface NetworkEvent {
  /** Unique: the origin's name and the number of the event there, `7a:00:00:00:00:01/42`. */
  readonly id: string;
  /** Milliseconds since the Unix epoch, by the origin's clock. */
  readonly time: number;
  /** Name of the origin. */
  readonly peer: string;
  readonly kind: EventKind;
  readonly severity: Severity;
  /** The peer, container, address or MAC concerned; "" if none. */
  readonly subject: string;
  /** One sentence, without invisible characters. */
  readonly text: string;
}

/** What an event says, before it has a time and a number. */
export type EventDraft = Pick<NetworkEvent, "kind" | "severity" | "subject" | "text">;

/** Whether a text names a kind of this version. */
export const isEventKind = (text: string): text is EventKind => Object.hasOwn(EVENT_KINDS, text);

/** Whether an event is at least as severe as another one. */
export const isAtLeast = (severity: Severity, least: Severity): boolean =>
  SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(least);

/** A text of an event as it may be shown: without invisible characters, and of bounded length. */
export function eventText(text: string, max = MAX_EVENT_TEXT): string {
  const shown = printableText(
    text
      .slice(0, 4 * max)
      .replace(/\s+/g, " ")
      .trim(),
  );
  return shown.length <= max ? shown : `${shown.slice(0, max - 1)}…`;
}

/** The number of an event at its origin: the end of its id. */
export const eventNumber = ({ id }: Pick<NetworkEvent, "id">): number => Number(id.slice(id.indexOf("/") + 1));

export const eventId = (peer: string, number: number): string => `${peer}/${number}`;
