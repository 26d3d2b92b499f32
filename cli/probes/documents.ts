import { type PingEnd, type PingResult, pingTrips } from "#cli/probes/ping-text.js";
import type { TraceFinding, TraceVerdict } from "#cli/probes/verdict.js";
import { nicknameIn, placeName } from "#cli/probes/words.js";
import type { Located } from "#router/probes/locator.js";
import { type RoundTrips, summaryOf } from "#router/probes/round-trips.js";
import type { PeerNicknames } from "#router/probes/routes.js";
import type { TracedLeg, TraceFacts } from "#router/probes/tracer.js";

/** The document of `weave ping`. */
export function pingDocument(result: PingResult, end: PingEnd | undefined): object {
  const { found, probes } = result;
  const { target, via, carrier, encrypted, mtu, reason, here, nicknames } = found;
  const { host, container } = pingTrips(result);
  return {
    Target: placeOf(target, nicknames),
    Here: here,
    Via: via || null,
    ViaNickName: via === "" ? null : nicknameIn(nicknames, via),
    Carrier: via === "" ? null : carrier || null,
    Encrypted: via === "" ? null : encrypted,
    Mtu: mtu || null,
    Reason: reason || null,
    Probes: probes.map((each) => ({ Host: each.host, Container: each.container })),
    Host: host === undefined ? null : figuresOf(host),
    Container: container === undefined ? null : figuresOf(container),
    Problem: end?.why ?? null,
    Next: end?.next ?? null,
  };
}

/** The document of `weave trace`. */
export function traceDocument(trace: TraceFacts, { end, notes }: TraceVerdict, nicknames: PeerNicknames): object {
  const { from, to, legs, reach } = trace;
  return {
    Reached: end === undefined,
    From: placeOf(from, nicknames),
    Legs: legs.map((leg, index) => legOf(leg, index + 2, nicknames)),
    To: placeOf(to, nicknames),
    EndToEnd: {
      Host: reach === null || reach.host.sent === 0 ? null : figuresOf(reach.host),
      Container: reach === null || reach.container.sent === 0 ? null : figuresOf(reach.container),
    },
    End: end === undefined ? null : findingOf(end),
    Notes: notes.map(findingOf),
  };
}

const findingOf = ({ step, why, next }: TraceFinding) => ({ Step: step, Why: why, Next: next });

function placeOf(place: Located, nicknames: PeerNicknames): object {
  const { kind, peer, address, mac, endpoint, silent, others } = place;
  return {
    Name: kind === "peer" ? nicknameIn(nicknames, peer) : placeName(place),
    Kind: kind,
    Peer: peer,
    NickName: nicknameIn(nicknames, peer),
    Address: address || null,
    Mac: mac || null,
    Others: others,
    Silent: silent || null,
    Interface:
      endpoint === null
        ? null
        : {
            Id: endpoint.id,
            State: endpoint.state,
            Addresses: endpoint.addresses,
            Port: endpoint.port || null,
            PortState: endpoint.portState || null,
            Isolated: endpoint.isolated,
            Up: endpoint.up,
            Mtu: endpoint.mtu || null,
            Arp: figuresOf(endpoint.arp),
          },
  };
}

function legOf({ at, facts, silent }: TracedLeg, step: number, nicknames: PeerNicknames): object {
  const via = facts?.via ?? "";
  return {
    Step: step,
    Peer: at,
    NickName: nicknameIn(nicknames, at),
    Via: via || null,
    ViaNickName: via === "" ? null : nicknameIn(nicknames, via),
    Carrier: facts?.carrier || null,
    Encrypted: facts === null ? null : facts.encrypted,
    Mtu: facts?.mtu || null,
    Reason: facts?.reason || null,
    Silent: silent || null,
    Small: facts === null || facts.small.sent === 0 ? null : figuresOf(facts.small),
    Full: facts === null || facts.full.sent === 0 ? null : figuresOf(facts.full),
    FullBytes: facts === null ? null : facts.fullBytes,
  };
}

function figuresOf(trips: RoundTrips): object {
  const { sent, answered, lossPercent, min, median, max } = summaryOf(trips);
  const rounded = (ms: number | undefined) => (ms === undefined ? null : Math.round(ms * 1_000) / 1_000);
  return {
    ...{ Sent: sent, Answered: answered, LossPercent: lossPercent },
    ...{ MinMs: rounded(min), MedianMs: rounded(median), MaxMs: rounded(max) },
  };
}
