import { MAX_PROBE_TARGET, type PeerOrNone } from "#router/probes/facts.js";
import type { Located, NotLocated } from "#router/probes/locator.js";
import type { Probes } from "#router/probes/probes.js";
import type { TraceFacts } from "#router/probes/tracer.js";
import { type Route, route } from "#router/route.js";
import { isIpv4 } from "#src/address.js";
import { invalidValue, WeaveError } from "#src/errors.js";
import { jsonAnswer } from "#src/http/answer.js";
import { isMac } from "#src/mac.js";
import { VISIBLE_TEXT } from "#src/text.js";

/** Longest wait for the answer to a probe, in seconds. */
export const MAX_WAIT_S = 60;

/** Names that people read, of the peers in an answer. */
export type PeerNicknames = Readonly<Record<string, string>>;

/** Where something is, and the first leg of the way to it. */
export interface FoundTarget {
  readonly target: Located;
  /** The next hop of frames; "" without a route, and for this host itself. */
  readonly via: PeerOrNone;
  readonly carrier: string;
  readonly encrypted: boolean;
  readonly mtu: number;
  readonly reason: string;
  /** Whether it is on this host. */
  readonly here: boolean;
  readonly nicknames: PeerNicknames;
}

/** A trace, with the nicknames of the peers in it. */
export type TraceReply = { readonly trace: TraceFacts; readonly nicknames: PeerNicknames };

/** Round trips of one probe, in milliseconds; null: unanswered, or not sent. */
export interface ProbeReply {
  readonly host: number | null;
  readonly container: number | null;
}

/** The routes that send probes. */
export function probeRoutes(probes: Probes): Route[] {
  return [
    route("POST /probes/find", async ({ form }) => jsonAnswer(await find(probes, subjectOf(form, "what")))),
    route("POST /probes/send", async ({ form }) => jsonAnswer(await send(probes, form))),
    route("POST /probes/trace", async ({ form }) => {
      const from = subjectOf(form, "from", probes.self);
      return jsonAnswer(await trace(probes, from, subjectOf(form, "to")));
    }),
  ];
}

async function find(probes: Probes, what: string): Promise<FoundTarget> {
  const target = await probes.locator.locate(what);
  if ("why" in target) throw notFound(target);
  const way = probes.facts.way(target.peer);
  const here = target.peer === probes.self;
  return { target, ...way, here, nicknames: nicknamesOf(probes, [target.peer, way.via, ...hostsOf(target)]) };
}

async function send(probes: Probes, form: URLSearchParams): Promise<ProbeReply> {
  const { peer, address, mac, waitMs } = probeOf(form);
  const options = { count: 1, waitMs };
  const [host, container] = await Promise.all([
    peer === "" ? undefined : probes.prober.echo(peer, options),
    address === "" ? undefined : probes.prober.arp(address, mac === "" ? undefined : mac, options),
  ]);
  return { host: host?.times[0] ?? null, container: container?.times[0] ?? null };
}

async function trace(probes: Probes, from: string, to: string): Promise<TraceReply> {
  const facts = await probes.tracer.trace(from, to);
  if ("why" in facts) throw notFound(facts);
  const peers = [facts.from, facts.to].flatMap(hostsOf);
  const hops = facts.legs.flatMap(({ at, facts: leg }) => [at, leg?.via ?? ""]);
  return { trace: facts, nicknames: nicknamesOf(probes, [...peers, ...hops, facts.reach?.place ?? ""]) };
}

const hostsOf = ({ peer, claimants }: Located): PeerOrNone[] => [peer, ...claimants.map((each) => each.peer)];

function nicknamesOf(probes: Probes, peers: readonly PeerOrNone[]): PeerNicknames {
  return Object.fromEntries(
    [...new Set(peers)].filter((peer) => peer !== "").map((peer) => [peer, probes.nickname(peer)]),
  );
}

const notFound = ({ why, next }: NotLocated): WeaveError => new WeaveError("WEAVE_PROBE_TARGET", why, { next });

/** @throws WEAVE_FLAG_INVALID */
function subjectOf(form: URLSearchParams, name: string, otherwise?: string): string {
  const text = form.get(name) ?? otherwise ?? "";
  if (text === "" || text.length > MAX_PROBE_TARGET || !VISIBLE_TEXT.test(text))
    throw invalidValue(name, text, `a name, id, address or peer of at most ${MAX_PROBE_TARGET} visible characters`);
  return text;
}

/** @throws WEAVE_FLAG_INVALID */
function probeOf(form: URLSearchParams) {
  const [peer, mac] = ["peer", "mac"].map((name) => {
    const text = (form.get(name) ?? "").toLowerCase();
    if (text !== "" && !isMac(text)) throw invalidValue(name, text, "six hexadecimal octets");
    return text;
  });
  const address = form.get("address") ?? "";
  if (address !== "" && !isIpv4(address)) throw invalidValue("address", address, "an IPv4 address");
  const wait = Number(form.get("wait") ?? "1");
  if (!(wait > 0 && wait <= MAX_WAIT_S))
    throw invalidValue("wait", form.get("wait"), `seconds above 0, at most ${MAX_WAIT_S}`);
  return { peer, mac, address, waitMs: wait * 1_000 };
}
