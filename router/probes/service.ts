import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import type { Ipam } from "#router/addresses/ipam.js";
import type { InspectContainer } from "#router/attachments/attachment-target.js";
import type { Macs } from "#router/macs/macs.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import type { PeerDirectory } from "#router/peers/peer-directory.js";
import { BridgeFrames } from "#router/probes/bridge-frames.js";
import type { FactsFor, ProbeQuestion } from "#router/probes/facts.js";
import { HostEndpoints } from "#router/probes/host-endpoints.js";
import { ProbeFacts } from "#router/probes/host-facts.js";
import { type AskRouter, Locator } from "#router/probes/locator.js";
import { Prober } from "#router/probes/prober.js";
import type { Probes } from "#router/probes/probes.js";
import { PROBES_CHANNEL, Questions, type Reply } from "#router/probes/questions.js";
import { probeRoutes } from "#router/probes/routes.js";
import { Tracer } from "#router/probes/tracer.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import { systemClock } from "#src/clock.js";
import { systemRandom } from "#src/random.js";

export interface ProbesDeps extends Pick<StartContext, "resources" | "log"> {
  readonly self: PeerName;
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  readonly mesh: Mesh;
  readonly directory: PeerDirectory;
  readonly macs: Macs;
  /** Undefined when IPAM is off. */
  readonly ipam: Ipam | undefined;
  /** Undefined when weaveDNS is off. */
  readonly dns: WeaveDns | undefined;
  /** Undefined without Docker. */
  readonly inspect: InspectContainer | undefined;
}

/** Answers probes and questions of other hosts from now on. */
export function startProbes(deps: ProbesDeps): Probes {
  const { self, bridge, mtu, mesh, macs, ipam, dns, inspect, directory, resources, log } = deps;
  const frames = new BridgeFrames(bridge, { clock: systemClock, log });
  resources.add("probe frames", () => frames.close());
  const prober = new Prober({ self, frames, clock: systemClock, random: systemRandom });
  const names = dns?.names;
  const allocator = ipam?.allocator;
  const endpoints = new HostEndpoints({ bridge, prober, allocator, names, inspect, clock: systemClock });
  const facts = new ProbeFacts({ self, mtu, mesh, macs, prober, endpoints });
  const questions = new Questions({
    answer: (question) => facts.answer(question),
    clock: systemClock,
    random: systemRandom,
    log,
  });
  questions.open(mesh.channel(PROBES_CHANNEL, questions.gossiper));
  const ask: AskRouter = async <Q extends ProbeQuestion>(peer: PeerName, question: Q): Promise<Reply<FactsFor<Q>>> =>
    peer === self ? { facts: (await facts.answer(question, true)) as FactsFor<Q> } : questions.ask(peer, question);
  const locator = new Locator({ self, mesh, directory, macs, prober, allocator, names, ask });
  const tracer = new Tracer(locator, ask);
  return { self, prober, facts, locator, tracer, nickname: (peer) => directory.nickname(peer) ?? "" };
}

/** Calls that send probes. */
export const probeService = (probes: Probes): Service => ({ name: "probes", routes: () => probeRoutes(probes) });
