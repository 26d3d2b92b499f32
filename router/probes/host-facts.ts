import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import type { Macs } from "#router/macs/macs.js";
import { reasonOf } from "#router/peers/connection-report.js";
import {
  type LegFacts,
  MAX_REASON,
  type ProbeAnswer,
  type ProbeQuestion,
  type ReachFacts,
} from "#router/probes/facts.js";
import type { HostEndpoints } from "#router/probes/host-endpoints.js";
import type { ArpResult, Prober } from "#router/probes/prober.js";
import { NO_ROUND_TRIPS, type RoundTrips } from "#router/probes/round-trips.js";
import { shortLine } from "#src/text.js";

/** Probes of a leg and of the far end: small ones show delay and loss, full ones whether large frames pass. */
const SMALL = { count: 10, waitMs: 1_000 };
const FULL = { count: 3, waitMs: 1_000 };
const FAR = { count: 5, waitMs: 1_000 };
/** Each ARP probe is sent after the one before it is answered or lost. */
const FAR_ARP = { count: 5, waitMs: 300 };
/** Largest full probe: a bridge without fastdp has an MTU of 64 KB, which the carriers cut anyway. */
const MAX_FULL_BYTES = 9_000;

export interface HostFactsDeps {
  readonly self: PeerName;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  readonly mesh: Pick<Mesh, "frameRoutes" | "connectionTo">;
  readonly macs: Pick<Macs, "at">;
  readonly prober: Pick<Prober, "echo" | "arp">;
  readonly endpoints: Pick<HostEndpoints, "find">;
}

type Way = Omit<LegFacts, "kind" | "small" | "full" | "fullBytes">;

/** The facts of this host that other hosts may ask for. */
export class ProbeFacts {
  readonly #deps: HostFactsDeps;

  constructor(deps: HostFactsDeps) {
    this.#deps = deps;
  }

  async answer(question: ProbeQuestion, ownUser = false): Promise<ProbeAnswer> {
    switch (question.ask) {
      case "leg":
        return this.leg(question.to);
      case "endpoints":
        return { kind: "endpoints", endpoints: await this.#deps.endpoints.find(question.what, ownUser) };
      case "reach":
        return this.reach(question);
    }
  }

  /** The next hop of frames to a peer, without probes. */
  way(to: PeerName): Way {
    const { mesh } = this.#deps;
    const routed = mesh.frameRoutes.unicast(to);
    // A connection by which no frames pass is no route, and has the reason.
    const connection = mesh.connectionTo(routed ?? to);
    const { overlay, silent = false, encrypted = false } = connection ?? {};
    const status = overlay?.status() ?? {};
    const reason = connection === undefined ? "" : (reasonOf(status, silent) ?? "");
    return {
      via: routed ?? "",
      carrier: overlay?.name ?? "",
      encrypted: status.encrypted ?? encrypted,
      mtu: Math.min(65_535, status.mtu ?? 0),
      reason: shortLine(reason, MAX_REASON),
    };
  }

  async leg(to: PeerName): Promise<LegFacts> {
    const { prober, mtu } = this.#deps;
    const bytes = Math.min(mtu, MAX_FULL_BYTES);
    const way = this.way(to);
    const none = plain(NO_ROUND_TRIPS);
    if (way.via === "") return { kind: "leg", ...way, small: none, full: none, fullBytes: bytes };
    const small = await prober.echo(way.via, SMALL);
    const full = small.times.length === 0 ? NO_ROUND_TRIPS : await prober.echo(way.via, { ...FULL, bytes });
    return { kind: "leg", ...way, small: plain(small), full: plain(full), fullBytes: bytes };
  }

  /** Probes the far end: its host, and the container with the address there. */
  async reach({ peer, address, mac }: Extract<ProbeQuestion, { ask: "reach" }>): Promise<ReachFacts> {
    const { prober, self, macs } = this.#deps;
    const [host, container] = await Promise.all([
      peer === "" || peer === self ? NO_ROUND_TRIPS : prober.echo(peer, FAR),
      address === "" ? undefined : prober.arp(address, mac === "" ? undefined : mac, FAR_ARP),
    ]);
    const { macs: found = [], ...trips }: Partial<ArpResult> & RoundTrips = container ?? NO_ROUND_TRIPS;
    const known = mac === "" ? found[0] : mac;
    return {
      ...{ kind: "reach", host: plain(host), container: plain(trips), macs: [...found] },
      place: (known === undefined ? undefined : macs.at(known)) ?? "",
    };
  }
}

const plain = ({ sent, times }: RoundTrips) => ({ sent, times: [...times] });
