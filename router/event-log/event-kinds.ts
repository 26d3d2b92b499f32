/** The kinds of events, with what each is about. */
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

/** Whether a severity is at least another one. */
export const isAsSevereAs = (severity: Severity, least: Severity): boolean =>
  SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(least);
