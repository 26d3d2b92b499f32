import type { Connection } from "#mesh/connection.js";
import { type MeshMessage, topologyMessages } from "#mesh/messages.js";
import { MAX_PEERS, type PeerDelta, type PeerRecord } from "#mesh/peer.js";
import { isDelta, type Topology } from "#mesh/topology.js";

export type TopologyMessage = Extract<MeshMessage, { kind: "topology" | "digest" | "summary" | "want" }>;

/** What the gossip of the topology needs of the mesh that it is part of. */
export interface TopologyNetwork {
  readonly topology: Topology;
  /** Enough random neighbours for news to reach all. */
  readonly someNeighbours: (except: Connection | undefined) => readonly Connection[];
  /** Something has changed: routes too, perhaps. */
  readonly changed: () => void;
  /** We had to begin a later life. */
  readonly outlived: (incarnation: number) => void;
  /** A neighbour sent what cannot be true. */
  readonly refused: (from: Connection, count: number) => void;
}

/** Keeps the topologies of all peers equal: news go to some neighbours, and repair finds what was lost. */
export class TopologyGossip {
  readonly #network: TopologyNetwork;

  constructor(network: TopologyNetwork) {
    this.#network = network;
  }

  receive(from: Connection, message: TopologyMessage): void {
    const { topology } = this.#network;
    switch (message.kind) {
      case "topology":
        return this.merge(from, message.records, message.deltas);
      case "digest":
        if (message.digest !== topology.digest()) from.send({ kind: "summary", entries: topology.summary() });
        return;
      case "summary": {
        const { lacking, wanted } = topology.compare(message.entries);
        sendRecords(from, lacking);
        for (let at = 0; at < wanted.length; at += MAX_PEERS)
          from.send({ kind: "want", names: wanted.slice(at, at + MAX_PEERS) });
        return;
      }
      case "want":
        return sendRecords(
          from,
          message.names.map((name) => topology.get(name)).filter((record) => record !== undefined),
        );
    }
  }

  /** Merges what a neighbour sent, and passes on what of it is news. */
  merge(from: Connection, records: readonly PeerRecord[], deltas: readonly PeerDelta[]): void {
    const { topology, changed, outlived, refused } = this.#network;
    const before = topology.self.incarnation;
    const merged = topology.merge([...records, ...deltas]);
    if (topology.self.incarnation !== before) outlived(topology.self.incarnation);
    if (merged.refused > 0) refused(from, merged.refused);
    if (merged.wanted.length > 0) from.send({ kind: "want", names: merged.wanted.slice(0, MAX_PEERS) });
    if (merged.news.length === 0) return;
    // Our own later life goes to the one who showed us the earlier, too.
    this.spread(merged.news, topology.self.incarnation === before ? from : undefined);
    changed();
  }

  spread(news: readonly (PeerRecord | PeerDelta)[], except: Connection | undefined): void {
    const deltas = news.filter(isDelta);
    const records = news.filter((item): item is PeerRecord => !isDelta(item));
    const messages = topologyMessages(records, deltas);
    for (const connection of this.#network.someNeighbours(except)) {
      // Repair reaches a slow neighbour later.
      if (!connection.congested) for (const message of messages) connection.send(message);
    }
  }
}

/** As many messages as it takes. */
export function sendRecords(to: Connection, records: readonly PeerRecord[]): void {
  for (const message of topologyMessages(records, [])) to.send(message);
}
