import { EVENTS_CHANNEL, EventGossip } from "#router/event-log/event-gossip.js";
import { EventJournal } from "#router/event-log/event-journal.js";
import { silentLog } from "#src/log.js";
import type { Network, SimulatedPeer } from "./network.js";

/** Gives a simulated peer a journal of events in memory, whose first event is its start, as a router has it. */
export function withEvents({ clock }: Network, { mesh, name: self }: SimulatedPeer): EventJournal {
  const journal = new EventJournal({ self, clock, file: { load: () => [], append() {} } });
  journal.add({ kind: "started", severity: "info", subject: "", text: "the router has started, version 0.0.0" });
  const { incarnation } = mesh.status().self;
  const { peers, replicas } = mesh;
  const gossip = new EventGossip({
    ...{ self, incarnation, journal, clock, peers, replicas, log: silentLog },
    time: () => mesh.time(),
  });
  gossip.open(mesh.channel(EVENTS_CHANNEL, gossip.gossiper));
  return journal;
}
