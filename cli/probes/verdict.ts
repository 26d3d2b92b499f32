import { carrierFinding } from "#cli/doctor/peers.js";
import { commandWord, nicknameIn, placeName, tripsText } from "#cli/probes/words.js";
import type { EndpointFacts, LegFacts } from "#router/probes/facts.js";
import type { Located } from "#router/probes/locator.js";
import { summaryOf } from "#router/probes/round-trips.js";
import type { PeerNicknames } from "#router/probes/routes.js";
import type { TracedLeg, TraceFacts } from "#router/probes/tracer.js";
import { addressOfCidr, inSubnets, parseCidr } from "#src/address.js";
import { EXPOSED } from "#src/ident.js";

/** Something that is wrong at a step of a trace. */
export interface TraceFinding {
  /** Number of the step, from 1. */
  readonly step: number;
  readonly why: string;
  /** What helps. */
  readonly next: string;
}

/** What a trace shows. */
export interface TraceVerdict {
  /** Where frames end; undefined: they arrive. */
  readonly end: TraceFinding | undefined;
  /** What is not as it should be, although frames pass. */
  readonly notes: readonly TraceFinding[];
}

type Fault = Omit<TraceFinding, "step">;

/** Number of the step that is the far end: the near end is the first, each leg one. */
export const lastStep = ({ legs }: Pick<TraceFacts, "legs">): number => legs.length + 2;

/** Judges a trace. Pure. */
export function verdictOf(trace: TraceFacts, nicknames: PeerNicknames): TraceVerdict {
  const { from, to, legs } = trace;
  const last = lastStep(trace);
  const arrived = farEndAnswers(trace);
  const notes: TraceFinding[] = [];
  const near = endpointFault(from) ?? subnetFault(from, to);
  if (near !== undefined) return { end: { step: 1, ...near }, notes };
  for (const [index, leg] of legs.entries()) {
    const step = index + 2;
    const silentNext = legs[index + 1]?.silent ?? (index === legs.length - 1 ? to.silent : "");
    const fault = legFault(leg, silentNext, nicknames);
    if (fault !== undefined && !arrived) return { end: { step, ...fault }, notes };
    if (fault !== undefined) notes.push({ step, ...fault });
    else notes.push(...legNotes(leg, nicknames).map((note) => ({ step, ...note })));
  }
  const twice = claimedTwice(to, nicknames);
  if (twice !== undefined) notes.push({ step: last, ...twice });
  const far = endpointFault(to) ?? (arrived ? undefined : unreachedFault(trace, nicknames));
  if (far !== undefined) return { end: { step: last, ...far }, notes };
  return { end: undefined, notes: [...notes, ...endNotes(trace).map((note) => ({ step: last, ...note }))] };
}

/** Whether the far end answers the host of the near end: by the path of frames, whatever routers report. */
function farEndAnswers({ from, to, reach }: TraceFacts): boolean {
  if (from.peer === to.peer && (to.kind === "peer" || to.endpoint?.id === EXPOSED)) return true;
  if (reach === null) return false;
  return (to.kind === "peer" ? reach.host : reach.container).times.length > 0;
}

/** What keeps a container from the overlay on its own host. */
function endpointFault(place: Located): Fault | undefined {
  const { endpoint } = place;
  if (place.kind === "peer" || endpoint === null || endpoint.id === EXPOSED) return undefined;
  const name = placeName(place);
  const { state, port, portState, isolated, up, addresses } = endpoint;
  if (state === "ended")
    return { why: `${name} has ended: its address is kept for it`, next: "Start it again: 'docker start', say." };
  if (state === "paused")
    return { why: `${name} is paused`, next: `'docker unpause ${commandWord(name)}' lets it go on.` };
  if (endpoint.mac === "")
    return {
      why: `${name} has no interface on the bridge`,
      next: `'weave attach ${commandWord(name)}' on its host gives it one; a host end that left the bridge returns within 5 s.`,
    };
  if (addresses.length === 0)
    return {
      why: `the interface of ${name} has no address`,
      next: `'weave attach ${commandWord(name)}' on its host gives it one.`,
    };
  if (!up)
    return {
      why: `the interface of ${name} is down`,
      next: "Set it up inside of the container, or restart the container.",
    };
  if (port !== "" && portState !== "forwarding")
    return {
      why: `the port ${port} of the bridge is ${portState || "not on the bridge"}`,
      next: `'ip link show ${commandWord(port, "PORT")}' on its host; weave sets a host end up again within 5 s, another program may set it down.`,
    };
  if (isolated)
    return {
      why: `the port ${port} is isolated: frames pass neither to nor from the ports of the overlay`,
      next: `'bridge link set dev ${commandWord(port, "PORT")} isolated off' on its host.`,
    };
  return silentFault(name, endpoint);
}

function silentFault(name: string, { arp }: EndpointFacts): Fault | undefined {
  if (arp.sent === 0 || arp.times.length > 0) return undefined;
  return {
    why: `${name} does not answer its own host's ARP probes`,
    next: "Inside of it, check its address ('ip address'), arp_ignore, and rules for ARP (arptables, nft) there.",
  };
}

/** Whether each end has an address in a subnet of the other: otherwise its kernel sends nothing to it by the overlay. */
function subnetFault(from: Located, to: Located): Fault | undefined {
  const [near, far] = [from.endpoint, to.endpoint];
  if (near === null || near.addresses.length === 0 || to.address === "") return undefined;
  const name = placeName(from);
  const subnets = (each: EndpointFacts) => [...new Set(each.addresses.map((cidr) => parseCidr(cidr).subnet))];
  if (!inSubnets(to.address, near.addresses.map(parseCidr)))
    return {
      why: `${to.address} is in no subnet of ${name} (${subnets(near).join(", ")}): it sends nothing to it by the overlay`,
      next: `'weave attach net:SUBNET ${commandWord(name)}' on its host adds an address in the other subnet; or give both one subnet.`,
    };
  if (far === null || far.addresses.length === 0) return undefined;
  if (near.addresses.some((cidr) => inSubnets(addressOfCidr(cidr), far.addresses.map(parseCidr)))) return undefined;
  return {
    why: `no address of ${name} is in a subnet of ${placeName(to)} (${subnets(far).join(", ")}): answers do not come back by the overlay`,
    next: "Give both one subnet, with the same prefix length: 'weave detach', then 'weave attach'.",
  };
}

/** What stops frames on a leg. @param silentNext why the host at its end reports nothing; "" where it does */
function legFault({ at, facts, silent }: TracedLeg, silentNext: string, nicknames: PeerNicknames): Fault | undefined {
  const here = nicknameIn(nicknames, at);
  if (facts === null)
    return {
      why: `${here} ${silent}: the way from there on is not known`,
      next: `'weave version' and 'weave trace' on ${here} itself; upgrade it if it is older.`,
    };
  const { via, reason, small, full, fullBytes } = facts;
  if (via === "")
    return {
      why: `${here} has no route from there on${reason === "" ? "" : `: ${reason}`}`,
      next: `'weave status connections' on ${here}, and on the far host; 'weave doctor' there finds causes.`,
    };
  const there = nicknameIn(nicknames, via);
  const leg = `${here} to ${there}`;
  if (small.times.length === 0 && silentNext !== "")
    return {
      why: `no probe from ${leg} is answered, and ${there} ${silentNext}`,
      next: `An older version answers no probes: upgrade ${there}. Otherwise 'weave doctor' on ${here} and ${there}.`,
    };
  if (small.times.length === 0)
    return {
      why: `no frame passes from ${leg} and back${reason === "" ? "" : `: ${reason}`}`,
      next:
        carrierRemedy(facts, there) ??
        `'weave doctor' on ${here} and ${there}: it looks at firewalls, ports and sizes.`,
    };
  if (full.times.length === 0 && full.sent > 0)
    return {
      why: `small frames pass from ${leg}, those of ${fullBytes} bytes do not`,
      next: `A smaller MTU or a filter between the hosts: 'weave doctor' on ${here}; 'weave launch --mtu' sets a smaller one.`,
    };
  return undefined;
}

function carrierRemedy({ carrier, reason }: LegFacts, there: string): string | undefined {
  const { remedy } = carrierFinding(there, carrier, reason === "" ? null : reason);
  return remedy;
}

/** What is not as it should be on a leg that frames pass. */
function legNotes({ at, facts }: TracedLeg, nicknames: PeerNicknames): Fault[] {
  if (facts === null) return [];
  const { carrier, reason, small, full } = facts;
  const [here, there] = [at, facts.via].map((peer) => nicknameIn(nicknames, peer));
  const notes: Fault[] = [];
  const both = { sent: small.sent + full.sent, times: [...small.times, ...full.times] };
  const { lossPercent } = summaryOf(both);
  if (lossPercent > 0)
    notes.push({
      why: `${lossPercent} % of the probes from ${here} to ${there} or of their answers are lost`,
      next: "'ping' between the addresses of the two hosts shows whether the network below loses packets as well.",
    });
  const finding = carrierFinding(there, carrier, reason === "" ? null : reason);
  if (finding.level !== "ok")
    notes.push({ why: finding.what, next: `${finding.cause ?? ""}: ${finding.remedy ?? "see 'weave doctor'"}.` });
  return notes;
}

function claimedTwice({ address, claimants }: Located, nicknames: PeerNicknames): Fault | undefined {
  if (claimants.length < 2) return undefined;
  const owners = claimants.map(({ mac, peer }) => `${mac}${peer === "" ? "" : ` on ${nicknameIn(nicknames, peer)}`}`);
  return {
    why: `${claimants.length} interfaces answer for ${address}: ${owners.join(" and ")}`,
    next: `Two containers have one address: 'weave ps' on these hosts, then detach one of them.`,
  };
}

/** Why the far end does not answer although nothing else is wrong. */
function unreachedFault({ from, to, reach, reachSilent }: TraceFacts, nicknames: PeerNicknames): Fault {
  const [near, far] = [from.peer, to.peer].map((peer) => nicknameIn(nicknames, peer));
  const name = placeName(to);
  if (reach === null)
    return {
      why: `${near} ${reachSilent}: whether ${name} answers it is not known`,
      next: `Run 'weave trace' on ${near}.`,
    };
  if (to.kind === "container" && reach.place !== "" && reach.place !== to.peer)
    return {
      why: `${near} sends frames for ${to.mac} to ${nicknameIn(nicknames, reach.place)}, but ${name} is on ${far}`,
      next: "Two containers may have one MAC ('weave status' names it); otherwise any frame that it sends corrects it.",
    };
  if (to.kind === "container" && to.endpoint === null)
    return {
      why: `${name} does not answer, and its host ${far} ${to.silent || "reports nothing of it"}`,
      next: `'weave ps' on ${far} shows whether it is attached there.`,
    };
  const host = near === far ? "" : `; its host ${reach.host.times.length > 0 ? "answers" : "does not"}`;
  return {
    why: `every step is well by itself, and ${name} does not answer ${near}${host}`,
    next: `Rules for bridged frames on ${far} ('nft list ruleset', 'ebtables -L') may drop them; 'weave doctor' on both hosts.`,
  };
}

/** What is not as it should be at the far end, and of the way as a whole. */
function endNotes({ from, to, legs, reach }: TraceFacts): Fault[] {
  const notes: Fault[] = [];
  const trips = to.kind === "peer" ? reach?.host : reach?.container;
  if (trips !== undefined && summaryOf(trips).lossPercent > 0)
    notes.push({
      why: `of the probes from end to end some are lost: ${tripsText(trips)}`,
      next: "The step that loses some, if any, has its figures; answers may take another way.",
    });
  const inside = [from.endpoint?.mtu ?? 0, to.endpoint?.mtu ?? 0].filter((mtu) => mtu > 0);
  if (inside.length === 2 && inside[0] !== inside[1])
    notes.push({
      why: `the interfaces of the two ends have different MTUs, ${inside[0]} and ${inside[1]}: packets of the larger size are lost`,
      next: "Launch all hosts with the same --mtu, and attach the containers again.",
    });
  const sizes = legs.flatMap(({ facts }) => (facts !== null && facts.mtu > 0 ? [facts.mtu] : []));
  const largest = Math.max(0, ...inside);
  if (sizes.length > 0 && Math.min(...sizes) < largest)
    notes.push({
      why: `packets above ${Math.min(...sizes)} bytes are cut on the way: slower, and nothing is lost`,
      next: `A larger MTU of the network between the hosts, or 'weave launch --mtu ${Math.min(...sizes)}' on all.`,
    });
  return notes;
}
