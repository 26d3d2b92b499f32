import { carrierText, msText, nicknameIn, placeName, tripsText } from "#cli/probes/words.js";
import type { RoundTrips } from "#router/probes/round-trips.js";
import type { FoundTarget, ProbeReply } from "#router/probes/routes.js";

/** The probes of `weave ping`, and their target. */
export interface PingResult {
  readonly found: FoundTarget;
  readonly probes: readonly ProbeReply[];
  /** Whether the target is this host itself, to which no probe is sent. */
  readonly own: boolean;
}

/** Why nothing answers, and what helps. */
export interface PingEnd {
  readonly why: string;
  readonly next: string;
}

const hostName = ({ target, nicknames }: FoundTarget): string => nicknameIn(nicknames, target.peer);

/** What the target is, and the way to it. */
export function pingHead(found: FoundTarget): string[] {
  const { target, via, reason, here, nicknames } = found;
  const host = hostName(found);
  const name = placeName(target);
  const facts = [target.address, target.mac === "" ? "" : `MAC ${target.mac}`].filter(
    (each) => each !== "" && each !== name,
  );
  const what =
    target.kind === "peer"
      ? `${host} (${target.peer})`
      : `${name}${facts.length > 0 ? ` (${facts.join(", ")})` : ""} on ${host}`;
  const others = target.others.length === 0 ? [] : [`the name has further addresses: ${target.others.join(", ")}`];
  if (here) return [`${what}, this host`, ...others];
  if (via === "") return [`${what}: no route${reason === "" ? "" : `: ${reason}`}`, ...others];
  const way = via === target.peer ? "direct" : `relayed by ${nicknameIn(nicknames, via)}, first leg`;
  return [`${what}, ${way}: ${carrierText(found)}`, ...(reason === "" ? [] : [reason]), ...others];
}

/** The line of one probe. */
export function pingLine(found: FoundTarget, number: number, { host, container }: ProbeReply): string {
  const time = (ms: number | null) => (ms === null ? "no answer" : msText(ms));
  const parts = [
    ...(found.here ? [] : [`${hostName(found)} ${time(host)}`]),
    ...(probesContainer(found) ? [`${placeName(found.target)} ${time(container)}`] : []),
  ];
  return `${number}: ${parts.join(", ")}`;
}

export const probesContainer = ({ target }: FoundTarget): boolean =>
  target.kind === "container" && target.address !== "";

/** The round trips to the host and to the container; undefined where none was probed. */
export function pingTrips({ found, probes, own }: PingResult): Record<"host" | "container", RoundTrips | undefined> {
  const trips = (times: readonly (number | null)[]): RoundTrips => ({
    sent: times.length,
    times: times.filter((time) => time !== null),
  });
  return {
    host: found.here || own ? undefined : trips(probes.map(({ host }) => host)),
    container: probesContainer(found) && !own ? trips(probes.map(({ container }) => container)) : undefined,
  };
}

export function pingSummary(result: PingResult): string[] {
  const { host, container } = pingTrips(result);
  return [
    ...(host === undefined ? [] : [`${hostName(result.found)}: ${tripsText(host)}`]),
    ...(container === undefined ? [] : [`${placeName(result.found.target)}: ${tripsText(container)}`]),
  ];
}

/** Why nothing answers; undefined: the target does, at least sometimes. */
export function pingEnd(result: PingResult): PingEnd | undefined {
  const { found, probes, own } = result;
  const { target, via, reason, here } = found;
  const { host, container } = pingTrips(result);
  const name = placeName(target);
  if (own || probes.length === 0) return undefined;
  const answers = (trips: RoundTrips | undefined) => trips !== undefined && trips.times.length > 0;
  if (answers(container) || (target.kind === "peer" && answers(host))) return undefined;
  const next = `'weave trace ${target.text}' shows where the way ends.`;
  if (!here && via === "") return { why: `${hostName(found)} is not reachable: no route of frames leads to it`, next };
  if (!here && !answers(host))
    return {
      why: `${hostName(found)} does not answer${reason === "" ? "" : `: ${reason}`}; an older version of weave answers no probes`,
      next,
    };
  if (container === undefined) return { why: `${name} has no address that could be probed`, next };
  if (target.endpoint?.state === "ended") return { why: `${name} has ended: its address is kept for it`, next };
  return { why: `${name} does not answer${here ? "" : `, but its host ${hostName(found)} does`}`, next };
}
