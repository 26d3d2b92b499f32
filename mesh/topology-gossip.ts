import type { Connection } from "#mesh/connection.js";
import type { GossipSource } from "#mesh/gossip-source.js";
import type { GossipSpreader } from "#mesh/gossip-spreader.js";
import { type MeshMessage, topologyMessages } from "#mesh/messages.js";
import { MAX_PEERS, type PeerDelta, type PeerRecord } from "#mesh/peer.js";
import { isDelta, type Topology } from "#mesh/topology.js";

export type TopologyMessage = Extract<MeshMessage, { kind: "topology" | "digest" | "summary" | "want" }>;

/** The effect of a message on the topology. */
export interface TopologyChange {
  /** Routes may have changed. */
  readonly changed: boolean;
  /** The new incarnation of this peer, if another peer held a later record of this peer. */
  readonly incarnation?: number;
  /** Number of records that were rejected because of implausible counters. */
  readonly rejected: number;
}

const UNCHANGED: TopologyChange = { changed: false, rejected: 0 };

/** Keeps the topologies of all peers equal: gossips changes, and repairs losses by digests. */
export class TopologyGossip implements GossipSource {
  readonly #topology: Topology;
  readonly #spreader: GossipSpreader;
  readonly #accepts: (record: PeerRecord) => boolean;

  /** @param accepts whether the identity of a record is that of its name */
  constructor(topology: Topology, spreader: GossipSpreader, accepts: (record: PeerRecord) => boolean) {
    this.#topology = topology;
    this.#spreader = spreader;
    this.#accepts = accepts;
  }

  /** Handles a message of a neighbour. */
  receive(from: Connection, message: TopologyMessage): TopologyChange {
    const topology = this.#topology;
    switch (message.kind) {
      case "topology":
        return this.#merge(from, message.records, message.deltas);
      case "digest":
        if (message.digest !== topology.digest()) from.send({ kind: "summary", entries: topology.summary() });
        return UNCHANGED;
      case "summary": {
        const { lacking, wanted } = topology.compare(message.entries);
        sendRecords(from, lacking);
        for (let at = 0; at < wanted.length; at += MAX_PEERS)
          from.send({ kind: "want", names: wanted.slice(at, at + MAX_PEERS) });
        return UNCHANGED;
      }
      case "want": {
        const records = message.names.map((name) => topology.get(name));
        sendRecords(
          from,
          records.filter((record) => record !== undefined),
        );
        return UNCHANGED;
      }
    }
  }

  /** Adds a new neighbour to the topology, with the data of its hello. */
  addNeighbour(connection: Connection): TopologyChange {
    const { name, nickname, identity, key, uid, incarnation } = connection.remote!;
    // Version 0: every record that the neighbour sends replaces this one.
    return this.#merge(connection, [{ name, nickname, identity, key, uid, incarnation, version: 0, links: [] }], []);
  }

  /** Sends this peer's record and the digest to a new neighbour. */
  greet(connection: Connection): void {
    const remote = connection.remote!;
    const known = this.#topology.get(remote.name);
    // The neighbour's clock was set back, or its disk restored. With the old record it begins a later incarnation.
    if (known !== undefined && known.incarnation > remote.incarnation) sendRecords(connection, [known]);
    connection.send({ kind: "topology", records: [this.#topology.self], deltas: [] });
    this.sendState(connection);
  }

  /** Sends the digest. A neighbour with another digest answers with its summary. */
  sendState(to: Connection): void {
    to.send({ kind: "digest", digest: this.#topology.digest() });
  }

  /** Gossips a change of this peer's record. */
  announce(delta: PeerDelta): void {
    this.#spread([delta], undefined);
  }

  /** Merges items of a neighbour, and gossips the new ones. */
  #merge(from: Connection, records: readonly PeerRecord[], deltas: readonly PeerDelta[]): TopologyChange {
    const topology = this.#topology;
    const before = topology.self.incarnation;
    const { news, wanted, rejected } = topology.merge([...records.filter(this.#accepts), ...deltas]);
    const { incarnation } = topology.self;
    const superseded = incarnation !== before;
    if (wanted.length > 0) from.send({ kind: "want", names: wanted.slice(0, MAX_PEERS) });
    // A new incarnation of this peer is also for the neighbour that held the old one.
    if (news.length > 0) this.#spread(news, superseded ? undefined : from);
    return { changed: news.length > 0, rejected, ...(superseded ? { incarnation } : {}) };
  }

  #spread(news: readonly (PeerRecord | PeerDelta)[], except: Connection | undefined): void {
    const deltas = news.filter(isDelta);
    const records = news.filter((item): item is PeerRecord => !isDelta(item));
    this.#spreader.spread(this, topologyMessages(records, deltas), except);
  }
}

/** Sends records in as many messages as needed. */
function sendRecords(to: Connection, records: readonly PeerRecord[]): void {
  for (const message of topologyMessages(records, [])) to.send(message);
}
