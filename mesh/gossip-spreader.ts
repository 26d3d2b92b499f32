import type { Connection } from "#mesh/connection.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { NeighbourTable } from "#mesh/neighbour-table.js";
import type { Topology } from "#mesh/topology.js";
import { type Random, sample } from "#src/random.js";

/** Added to the logarithm in {@link gossipFanout}. */
const EXTRA_FANOUT = 2;

/**
 * The gossip fan-out: the number of random neighbours that news are sent to (memberlist: `GossipNodes`, a constant, as it
 * repeats each message). Here each peer sends once, and all peers receive it with a probability near e^(-e^-c) if the
 * fan-out is ln n + c (Kermarrec, Massoulié and Ganesh, Probabilistic Reliable Dissemination in Large-Scale Systems, 2003).
 * log2 n is 1.44 ln n: for a hundred peers c is above 4, and 98 % of all news reach everyone. Repair delivers the rest.
 *
 * @param peers reachable peers of the network, this one among them
 */
export function gossipFanout(peers: number): number {
  return Math.ceil(Math.log2(peers + 1)) + EXTRA_FANOUT;
}

/** One kind of gossip: the topology, or a channel. */
export interface GossipSource {
  /** Sends a neighbour what it needs to learn everything that this peer knows. */
  sendState(to: Connection): void;
}

/** The collaborators of a {@link GossipSpreader}. */
export interface GossipSpreaderDeps {
  readonly neighbours: NeighbourTable;
  readonly topology: Topology;
  readonly random: Random;
}

/**
 * Sends news of every kind to some neighbours, by one rule of back-pressure: a neighbour that is too slow gets no queue that
 * grows. What it misses is noted, and once it has caught up it gets the state instead.
 */
export class GossipSpreader {
  readonly #deps: GossipSpreaderDeps;
  readonly #missed = new WeakMap<Connection, Set<GossipSource>>();

  constructor(deps: GossipSpreaderDeps) {
    this.#deps = deps;
  }

  /** Sends news to {@link gossipFanout} random neighbours, which pass on what is new to them. @param except who sent it */
  spread(source: GossipSource, messages: readonly MeshMessage[], except: Connection | undefined): void {
    const { neighbours, topology, random } = this.#deps;
    const others = [...neighbours].filter((connection) => connection !== except);
    for (const to of sample(random, others, gossipFanout(topology.reachable().length))) this.send(source, to, messages);
  }

  /** Sends messages to one neighbour, if it is not too slow. */
  send(source: GossipSource, to: Connection, messages: readonly MeshMessage[]): void {
    if (!to.congested) for (const message of messages) to.send(message);
    else this.#missed.set(to, (this.#missed.get(to) ?? new Set()).add(source));
  }

  /** Sends the state of what they missed to all neighbours that were too slow and have caught up. */
  catchUp(): void {
    for (const connection of this.#deps.neighbours) {
      if (connection.congested) continue;
      for (const source of this.#missed.get(connection) ?? []) source.sendState(connection);
      this.#missed.delete(connection);
    }
  }
}
