import { DNS_CHANNEL, Nameserver } from "#dns/nameserver.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import type { Network, SimulatedPeer } from "./network.js";

/** The domain of the names, with a final dot. */
export const DOMAIN = "weave.local.";

/** Gives a simulated peer a name server, as a router has it. @param disk what its earlier run has stored */
export function withNames(
  { clock, random }: Network,
  { mesh, name: self }: SimulatedPeer,
  disk = new Map<string, unknown>(),
): Nameserver {
  const { incarnation } = mesh.status().self;
  const { peers, replicas } = mesh;
  const names = new Nameserver({
    ...{ self, incarnation, clock, random, peers, replicas, domain: DOMAIN, log: silentLog },
    store: memoryStore(disk),
    prefix: "names/",
    time: () => mesh.time(),
  });
  names.open(mesh.channel(DNS_CHANNEL, names.gossiper));
  return names;
}
