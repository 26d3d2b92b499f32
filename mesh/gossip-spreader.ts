import type { Connection } from "#mesh/connection.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { NeighbourTable } from "#mesh/neighbour-table.js";
import type { Topology } from "#mesh/topology.js";
import { type Random, sample } from "#src/random.js";

/** Number of neighbours that receive news in addition to the logarithm: they raise c of {@link gossipFanout}. */
const EXTRA_FANOUT = 2;

/**
 * Computes the gossip fan-out: the number of random neighbours that news are sent to. (memberlist's `GossipNodes` is a constant,
 * because memberlist repeats each message.) Each peer sends news once, and with a fan-out of ln n + c all peers receive them with
 * a probability near e^(-e^-c) (Kermarrec, Massoulié and Ganesh, Probabilistic Reliable Dissemination in Large-Scale Systems,
 * 2003). log2 n is 1.44 ln n: for a hundred peers c is above 4, and 98 % of all news reach all peers. Repair delivers the rest.
 *
 * @param peers number of reachable peers of the network, this one among them
 */
export function gossipFanout(peers: number): number {
  return Math.ceil(Math.log2(peers + 1)) + EXTRA_FANOUT;
}

/** A source of gossip: the topology, or a channel. */
export interface GossipSource {
  /** Sends the source's state to a neighbour, or a digest by which the neighbour can request it. */
  sendState(to: Connection): void;
}

/** The collaborators of a {@link GossipSpreader}. */
export interface GossipSpreaderDeps {
  readonly neighbours: NeighbourTable;
  readonly topology: Topology;
  readonly random: Random;
}

/**
 * Sends news of all sources to some neighbours, with one rule of back-pressure: news are not queued for a neighbour that is too
 * slow. Their source is recorded, and the neighbour receives its state once it has caught up.
 */
export class GossipSpreader {
  readonly #deps: GossipSpreaderDeps;
  /** Sources whose news a neighbour has missed. */
  readonly #missed = new WeakMap<Connection, Set<GossipSource>>();

  constructor(deps: GossipSpreaderDeps) {
    this.#deps = deps;
  }

  /** Sends news to {@link gossipFanout} random neighbours. @param except the neighbour that sent the news to this peer */
  spread(source: GossipSource, messages: readonly MeshMessage[], except: Connection | undefined): void {
    const { neighbours, topology, random } = this.#deps;
    const others = [...neighbours].filter((connection) => connection !== except);
    for (const to of sample(random, others, gossipFanout(topology.reachable().length))) this.send(source, to, messages);
  }

  /** Sends messages to a neighbour, or records that it misses them if it is too slow. */
  send(source: GossipSource, to: Connection, messages: readonly MeshMessage[]): void {
    if (!to.congested) for (const message of messages) to.send(message);
    else this.#missed.set(to, (this.#missed.get(to) ?? new Set()).add(source));
  }

  /** Sends the state of the missed sources to all neighbours that have caught up. */
  catchUp(): void {
    for (const connection of this.#deps.neighbours) {
      if (connection.congested) continue;
      for (const source of this.#missed.get(connection) ?? []) source.sendState(connection);
      this.#missed.delete(connection);
    }
  }
}
