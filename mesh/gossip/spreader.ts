import type { Connection } from "#mesh/connection/connection.js";
import type { NeighbourTable } from "#mesh/connection/neighbour-table.js";
import { NoticeQueue } from "#mesh/gossip/notices.js";
import type { GossipSource, NewsSource } from "#mesh/gossip/source.js";
import type { News, Notice } from "#mesh/gossip.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { PeerName } from "#mesh/peer.js";
import type { Topology } from "#mesh/topology/topology.js";
import type { Clock } from "#src/clock.js";
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

/** The collaborators of a {@link GossipSpreader}. */
export interface GossipSpreaderDeps {
  readonly clock: Clock;
  readonly neighbours: NeighbourTable;
  readonly topology: Pick<Topology, "reachableCount">;
  readonly random: Random;
}

/**
 * Sends news of all sources to some neighbours, with one rule of back-pressure: news are not queued for a neighbour that is too
 * slow. Their source is recorded, and the neighbour receives its state once it has caught up.
 *
 * News with notices go along a tree, one for each source, that forms by itself (Plumtree; Leitão, Pereira and Rodrigues,
 * Epidemic Broadcast Trees, 2007). A neighbour is a *branch* until it has sent known news, or says that it was sent some; the
 * others get notices. A notice that announces lacking news makes its sender a branch again:
 *
 *     branch ◀──a notice was news──────── beside the tree
 *            ──news were no news───────▶
 */
export class GossipSpreader {
  readonly #deps: GossipSpreaderDeps;
  readonly #notices: NoticeQueue;
  /** Sources whose news a neighbour has missed. */
  readonly #missed = new WeakMap<Connection, Set<GossipSource>>();
  /** The neighbours beside the tree of a source. */
  readonly #beside = new WeakMap<GossipSource, WeakSet<Connection>>();

  constructor(deps: GossipSpreaderDeps) {
    this.#deps = deps;
    this.#notices = new NoticeQueue(deps, (source, to, messages) => this.send(source, to, messages));
  }

  /** Sends news to {@link gossipFanout} random neighbours. @param except the neighbour that sent the news to this peer */
  spread(source: GossipSource, messages: readonly MeshMessage[], except: Connection | undefined): void {
    const { random } = this.#deps;
    const others = this.#others(except);
    for (const to of sample(random, others, this.#fanout())) this.send(source, to, messages);
  }

  /** Sends news to the branches, and notices to others, to {@link gossipFanout} neighbours in all. @param from the peer that sent the news first */
  publish(source: NewsSource, from: PeerName, news: News & Notice, except: Connection | undefined): void {
    const { random } = this.#deps;
    const beside = this.#besides(source);
    const others = sample(random, this.#others(except), Number.POSITIVE_INFINITY);
    const isBranch = (to: Connection) => !beside.has(to);
    const chosen = [...others.filter(isBranch), ...others.filter((to) => !isBranch(to))].slice(0, this.#fanout());
    for (const to of chosen) {
      if (isBranch(to)) this.send(source, to, [{ kind: "push", channel: source.name, from, payload: news.payload }]);
      else this.#notices.add(source, to, news);
    }
    if (except !== undefined) this.#notices.drop(source, except, news.notice);
  }

  /** Records that a neighbour has sent known news: it gets notices from now on, and is asked for the same. */
  repeated(source: NewsSource, from: Connection): void {
    this.#besides(source).add(from);
    from.send({ kind: "branch", channel: source.name, grown: false });
  }

  /** Records that a notice of a neighbour has announced lacking news: it becomes a branch. */
  lacked(source: NewsSource, from: Connection): void {
    this.#besides(source).delete(from);
    from.send({ kind: "branch", channel: source.name, grown: true });
  }

  /** Records that a neighbour has news: it needs no notice of them. */
  noticed(source: NewsSource, from: Connection, notice: Uint8Array): void {
    this.#notices.drop(source, from, notice);
  }

  /** Handles a neighbour's word whether it is a branch. */
  branch(source: NewsSource, from: Connection, grown: boolean): void {
    if (grown) this.#besides(source).delete(from);
    else this.#besides(source).add(from);
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

  stop(): void {
    this.#notices.stop();
  }

  #fanout(): number {
    return gossipFanout(this.#deps.topology.reachableCount);
  }

  #others(except: Connection | undefined): Connection[] {
    return [...this.#deps.neighbours].filter((connection) => connection !== except);
  }

  #besides(source: GossipSource): WeakSet<Connection> {
    const beside = this.#beside.get(source) ?? new WeakSet<Connection>();
    this.#beside.set(source, beside);
    return beside;
  }
}
