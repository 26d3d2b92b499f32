import { leadsTo, type PeerName, type PeerRecord } from "#mesh/peer.js";
import { nearerNeighbours } from "#mesh/topology/shortest-paths.js";

/**
 * Routes over the known topology. They are computed breadth-first, with neighbours in order of their names: all peers with the
 * same topology compute the same trees, so that a flood reaches each peer once.
 */
export class Routes {
  readonly #self: PeerName;
  readonly #neighbours: ReadonlyMap<PeerName, readonly PeerName[]>;
  readonly #unicast: ReadonlyMap<PeerName, PeerName>;
  readonly #flood = new Map<PeerName, readonly PeerName[]>();

  /**
   * @param records the reachable peers
   * @param links "all" for gossip; "established" for frames: only links that both ends report as established
   */
  constructor(self: PeerName, records: readonly PeerRecord[], links: "all" | "established") {
    this.#self = self;
    this.#neighbours = adjacency(records, links);
    this.#unicast = firstHops(self, this.#neighbours);
  }

  /** Returns the next hop to `dest`; undefined if there is no route. */
  unicast(dest: PeerName): PeerName | undefined {
    return this.#unicast.get(dest);
  }

  /** Returns the next hop to each destination. */
  unicasts(): ReadonlyMap<PeerName, PeerName> {
    return this.#unicast;
  }

  /** Returns this peer's children in the broadcast tree of `source`: the neighbours that floods of `source` are forwarded to. */
  flood(source: PeerName): readonly PeerName[] {
    let branches = this.#flood.get(source);
    if (branches === undefined) {
      branches = children(source, this.#self, this.#neighbours);
      this.#flood.set(source, branches);
    }
    return branches;
  }

  /** Returns, for each peer, the neighbours through which its frames can reach this peer. */
  nearer(): ReadonlyMap<PeerName, ReadonlySet<PeerName>> {
    return nearerNeighbours(this.#self, this.#neighbours);
  }

  /** Returns all peers that a flood can start from. */
  sources(): Iterable<PeerName> {
    return this.#neighbours.keys();
  }
}

/** Returns the usable links of each peer, sorted by name. */
function adjacency(records: readonly PeerRecord[], mode: "all" | "established"): Map<PeerName, PeerName[]> {
  const byName = new Map(records.map((record) => [record.name, record]));
  const established = new Map(
    records.map((record) => [
      record.name,
      new Set(record.links.filter((link) => link.established).map((link) => link.to)),
    ]),
  );
  const result = new Map<PeerName, PeerName[]>();
  for (const record of records) {
    const usable = record.links.filter((link) => {
      const { to, established: up } = link;
      const other = byName.get(to);
      return (
        other !== undefined && leadsTo(link, other) && (mode === "all" || (up && established.get(to)!.has(record.name)))
      );
    });
    result.set(record.name, usable.map((link) => link.to).sort());
  }
  return result;
}

/** Returns the first hop from `self` to each reachable peer. */
function firstHops(self: PeerName, neighbours: ReadonlyMap<PeerName, readonly PeerName[]>): Map<PeerName, PeerName> {
  const hops = new Map<PeerName, PeerName>();
  const queue: PeerName[] = [self];
  for (let head = 0; head < queue.length; head++) {
    const at = queue[head];
    for (const next of neighbours.get(at) ?? []) {
      if (next === self || hops.has(next)) continue;
      hops.set(next, at === self ? next : hops.get(at)!);
      queue.push(next);
    }
  }
  return hops;
}

/** Returns the children of `self` in the breadth-first tree from `source`. */
function children(
  source: PeerName,
  self: PeerName,
  neighbours: ReadonlyMap<PeerName, readonly PeerName[]>,
): PeerName[] {
  const seen = new Set<PeerName>([source]);
  const queue: PeerName[] = [source];
  for (let head = 0; head < queue.length; head++) {
    const found: PeerName[] = [];
    for (const next of neighbours.get(queue[head]) ?? []) {
      if (seen.has(next)) continue;
      seen.add(next);
      found.push(next);
      queue.push(next);
    }
    if (queue[head] === self) return found;
  }
  return [];
}
