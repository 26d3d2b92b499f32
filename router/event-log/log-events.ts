import type { Conflict } from "#mesh/trust/conflicts.js";
import type { EventDraft, EventKind, Severity } from "#router/event-log/event.js";
import { errorText } from "#src/errors.js";
import type { LogLevel, LogLine } from "#src/log.js";
import { hostOf } from "#src/net/host-port.js";

type Fields = LogLine["fields"];

/** How a line of the log becomes an event. */
interface LineRule {
  readonly kind: EventKind;
  /** By default that of the line's level. */
  readonly severity?: Severity | ((fields: Fields) => Severity);
  /** The field that names the subject. */
  readonly subject?: string;
  /** By default the message with its fields. */
  readonly text?: (fields: Fields) => string;
}

const SEVERITY_OF: Readonly<Record<LogLevel, Severity>> = {
  debug: "info",
  info: "info",
  warn: "warning",
  error: "error",
};

/** Ends of a connection that nothing is wrong with. */
const ORDERLY = /\bis stopping$/;

/**
 * The lines that are events, by their message. A warning or an error without a row is a `fault`; other lines without one are no events.
 * `undefined`: no event, as another line or the state of the router says the same.
 */
export const LINE_RULES: Readonly<Record<string, LineRule | undefined>> = {
  connected: { kind: "link-up", subject: "peer", text: ({ peer, address }) => `connected to ${peer} at ${address}` },
  "connection ended": {
    kind: "link-down",
    severity: ({ why }) => (ORDERLY.test(String(why)) ? "info" : "warning"),
    subject: "peer",
    text: ({ peer, why }) => `the connection to ${peer} has ended: ${why}`,
  },
  "the peer does not answer; frames take other routes": { kind: "link-silent", subject: "peer" },
  "the peer answers again": { kind: "link-silent", subject: "peer" },
  "no carrier is usable": { kind: "carrier", subject: "peer" },
  "frames take a carrier that is not the preferred one": { kind: "carrier", subject: "peer" },
  "frames take the preferred carrier again": { kind: "carrier", subject: "peer" },
  "peer unreachable": {
    kind: "peer-unreachable",
    severity: "warning",
    subject: "peer",
    text: ({ peer }) => `no route leads to ${peer}`,
  },
  "peer reachable again": {
    kind: "peer-reachable",
    subject: "peer",
    text: ({ peer }) => `a route leads to ${peer} again`,
  },
  "peer forgotten": {
    kind: "peer-forgotten",
    severity: "warning",
    subject: "peer",
    text: ({ peer }) => `${peer} was unreachable for so long that it is forgotten`,
  },
  "a connection was refused": {
    kind: "refused",
    text: ({ from, why }) => `a connection of ${hostOf(String(from))} was refused: ${why}`,
  },
  // Each is a refused connection too.
  "a wrong password": undefined,
  "an identity was refused": { kind: "identity", subject: "name", text: (fields) => conflictLine(fields as never) },
  "a peer has signed two contents of one version, and its records are ignored": { kind: "identity", subject: "peer" },
  "a peer is excluded": { kind: "identity", subject: "peer" },
  "a peer is excluded no more": { kind: "identity", subject: "identity" },
  "a peer has retired": { kind: "identity", subject: "peer" },
  "a peer has another name now": { kind: "identity", subject: "peer" },
  "the network's secret has changed": { kind: "rekey", severity: "info" },
  "an order to change the network's secret was rejected": { kind: "rekey" },
  "the earlier secret is no longer accepted": { kind: "rekey" },
  "addresses taken over": {
    kind: "takeover",
    severity: "warning",
    subject: "from",
    text: ({ from, count }) => `this host has taken over ${count} addresses of ${from}`,
  },
  "addresses were taken over without the agreement of unreachable peers": { kind: "takeover" },
  "addresses are returned to a removed peer, which is alive": { kind: "takeover" },
  "another peer has taken the same addresses over, and gets them": { kind: "takeover" },
  "a removed peer had given addresses away before they were taken over; their receiver gets them": { kind: "takeover" },
  "the range is divided": { kind: "addresses" },
  "more peers stand by another division of the range, which displaces this one in a minute": { kind: "addresses" },
  "a peer allocates from another range": { kind: "addresses" },
  "a peer has given the same addresses to two others; this one gives way": { kind: "addresses" },
  "addresses are held twice": { kind: "addresses" },
  "two containers of this host have the same address": { kind: "addresses" },
  "an address is in use twice on this host": { kind: "addresses" },
  "Discovered remote MAC": {
    kind: "mac-moved",
    subject: "mac",
    text: ({ mac, at, was }) => `the MAC ${mac} is at ${at} now, and was at ${was}`,
  },
  "a MAC has moved to another host": { kind: "mac-moved", subject: "mac" },
  "two peers claim a MAC; it stays at the one that had it longest": { kind: "mac-refused", subject: "mac" },
  "two hosts claim a MAC; it stays at the one that had it longest": { kind: "mac-refused", subject: "mac" },
  "a frame from the network has the MAC of a local container; it was dropped": { kind: "mac-refused", subject: "mac" },
  "a container sends frames with the MAC of a host's bridge; it is not announced": {
    kind: "mac-refused",
    subject: "mac",
  },
  "a peer announces the MAC of a host's bridge; it is refused": { kind: "mac-refused", subject: "mac" },
  "a container could not be put on the network; it is tried again": { kind: "attachment", subject: "container" },
  "a container could not be served": { kind: "attachment", subject: "container" },
  "a container could not be started": { kind: "attachment", subject: "container" },
  "a CNI call failed": { kind: "attachment" },
  "the Docker engine does not answer": { kind: "docker", severity: "warning" },
  "the Docker engine answers": { kind: "docker" },
  "a link of weave was changed by another program; it is repaired": { kind: "repair", subject: "was" },
  "the kernel's path was changed by another program; it is repaired": { kind: "repair", subject: "was" },
  "an exposed address was removed from the bridge; it is restored": { kind: "repair", subject: "address" },
  "the route to an exposed network was removed; it is restored": { kind: "repair", subject: "network" },
  "the firewall rules of weave were changed by another program; they are restored": { kind: "repair" },
  "the router ends": { kind: "stopped", text: ({ why }) => `the router has failed: ${why}` },
  "the router cannot start": { kind: "stopped", text: ({ why }) => `the router cannot start: ${why}` },
};

/** The event that a line of the log is; undefined for a line that is none. */
export function eventOfLine({ level, message, fields }: LogLine): EventDraft | undefined {
  const rule = Object.hasOwn(LINE_RULES, message) ? LINE_RULES[message] : faultAt(level);
  if (rule === undefined || (message === "connection ended" && isStranger(fields))) return undefined;
  const { kind, severity = SEVERITY_OF[level], text = described(message) } = rule;
  return {
    kind,
    severity: typeof severity === "function" ? severity(fields) : severity,
    subject: subjectOf(rule, fields),
    text: text(fields),
  };
}

/** Whether a connection that has ended was from an address without a peer: one that was refused has a line of its own. */
const isStranger = ({ peer, outbound }: Fields): boolean => outbound === false && !/^[\da-f:]{17}\(/.test(String(peer));

const faultAt = (level: LogLevel): LineRule | undefined =>
  level === "warn" || level === "error" ? { kind: "fault" } : undefined;

function subjectOf({ kind, subject }: LineRule, fields: Fields): string {
  // Each attempt of a client has another port.
  if (kind === "refused") return hostOf(String(fields.from));
  const value = subject === undefined ? undefined : fields[subject];
  return value === undefined ? "" : valueText(value);
}

/** The message of a line with its fields: `a container could not be served (container 3f2a…): no address is free`. */
const described =
  (message: string) =>
  ({ why, ...others }: Fields): string => {
    const facts = Object.entries(others)
      .filter(([name, value]) => name !== "stack" && value !== undefined)
      .map(([name, value]) => `${name} ${valueText(value)}`);
    const about = facts.length === 0 ? "" : ` (${facts.join(", ")})`;
    return `${message}${about}${why === undefined ? "" : `: ${valueText(why)}`}`;
  };

function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Error) return errorText(value);
  return Array.isArray(value) ? value.map(valueText).join(" ") : (JSON.stringify(value) ?? "");
}

/** A conflict that this peer has found, or that another one reports. */
function conflictLine({ kind, name, refused, kept, reporter }: Conflict): string {
  const where = reporter === undefined ? "" : `, by the word of ${reporter}`;
  return kind === "name"
    ? `a second machine has the name ${name}: ${refused.nickname} is refused, ${kept.nickname} keeps it${where}`
    : `two machines have the identity of ${name} (${kept.nickname}), as copies have it${where}`;
}
