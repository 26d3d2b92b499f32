import type { TraceFinding, TraceVerdict } from "#cli/probes/verdict.js";
import { carrierText, msText, nicknameIn, placeName, tripsText } from "#cli/probes/words.js";
import type { Located } from "#router/probes/locator.js";
import { summaryOf } from "#router/probes/round-trips.js";
import type { PeerNicknames } from "#router/probes/routes.js";
import type { TracedLeg, TraceFacts } from "#router/probes/tracer.js";
import { EXPOSED } from "#src/ident.js";

const STEP_COLUMNS = 3;
const INDENT = " ".repeat(STEP_COLUMNS + 2);

/** The lines of `weave trace`: a paragraph for each step, then the end and what helps. */
export function traceLines(trace: TraceFacts, verdict: TraceVerdict, nicknames: PeerNicknames): string[] {
  const { from, to, legs } = trace;
  const paragraphs = [
    placeLines(from, nicknames),
    ...legs.map((leg) => legLines(leg, nicknames)),
    placeLines(to, nicknames),
  ];
  return [
    ...paragraphs.flatMap((lines, index) => numbered(index + 1, lines)),
    ...endToEndLines(trace, nicknames),
    "",
    ...verdictLines(trace, verdict, nicknames),
  ];
}

const numbered = (step: number, [head, ...others]: readonly string[]): string[] => [
  `${String(step).padStart(STEP_COLUMNS)}  ${head}`,
  ...others.map((line) => `${INDENT}  ${line}`),
];

function placeLines(place: Located, nicknames: PeerNicknames): string[] {
  const host = nicknameIn(nicknames, place.peer);
  const { kind, endpoint, address, mac, silent, others } = place;
  if (kind === "peer") return [`host ${host} (${place.peer})`];
  const name = placeName(place);
  const addresses = endpoint?.addresses.join(", ") || address;
  const facts = [...(addresses === "" || addresses === name ? [] : [addresses]), ...(mac === "" ? [] : [`MAC ${mac}`])];
  const head = `${name}${facts.length > 0 ? ` (${facts.join(", ")})` : ""} on ${host}`;
  const more = others.length === 0 ? [] : [`the name has ${others.length} further address(es): ${others.join(", ")}`];
  if (endpoint === null) return [head, ...more, `${host} ${silent || "reports nothing of it"}`];
  if (endpoint.id === EXPOSED) return [head, ...more, "an address of the host itself ('weave expose')"];
  if (endpoint.state === "ended") return [head, ...more, "ended"];
  const { port, portState, isolated, up, mtu, arp } = endpoint;
  const state = `${portState || "not on the bridge"}${isolated ? ", isolated" : ""}`;
  const inside = `interface ${up ? "up" : "down"}${mtu > 0 ? `, MTU ${mtu}` : ""}`;
  const { answered, median } = summaryOf(arp);
  return [
    head,
    ...more,
    `${port === "" ? "no port of the bridge" : `bridge port ${port} ${state}`}; ${inside}${endpoint.state === "paused" ? "; paused" : ""}`,
    ...(arp.sent === 0
      ? []
      : [answered > 0 ? `answers its host within ${msText(median!)}` : "does not answer its host"]),
  ];
}

function legLines({ at, facts, silent }: TracedLeg, nicknames: PeerNicknames): string[] {
  const here = nicknameIn(nicknames, at);
  if (facts === null) return [`${here} -> ?`, `${here} ${silent}`];
  const { via, reason, small, full, fullBytes } = facts;
  if (via === "") return [`${here} -> ?: no route`, ...(reason === "" ? [] : [reason])];
  return [
    `${here} -> ${nicknameIn(nicknames, via)}: ${carrierText(facts)}`,
    ...(reason === "" ? [] : [reason]),
    tripsText(small),
    ...(full.sent === 0 ? [] : [`of ${fullBytes} bytes: ${tripsText(full)}`]),
  ];
}

function endToEndLines({ from, to, reach }: TraceFacts, nicknames: PeerNicknames): string[] {
  if (reach === null) return [];
  const near = nicknameIn(nicknames, from.peer);
  const name = to.kind === "peer" ? nicknameIn(nicknames, to.peer) : placeName(to);
  const trips = to.kind === "peer" ? reach.host : reach.container;
  return trips.sent === 0 ? [] : [`${INDENT}from end to end, ${near} to ${name}: ${tripsText(trips)}`];
}

function verdictLines({ legs, to }: TraceFacts, { end, notes }: TraceVerdict, nicknames: PeerNicknames): string[] {
  const name = to.kind === "peer" ? nicknameIn(nicknames, to.peer) : placeName(to);
  const noted = notes.flatMap((note) => findingLines(`step ${note.step}: ${note.why}`, note));
  if (end !== undefined)
    return [
      ...findingLines(`The way ends at step ${end.step}: ${end.why}.`, end),
      ...(noted.length > 0 ? ["", ...noted] : []),
    ];
  const relays = legs.length - 1;
  const by = relays > 0 ? `, by ${relays === 1 ? "one relay" : `${relays} relays`}` : "";
  return [`The way reaches ${name}${by}.`, ...noted];
}

const findingLines = (text: string, { next }: TraceFinding): string[] => [text, `  ${next}`];
