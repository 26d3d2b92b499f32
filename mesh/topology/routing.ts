import type { PeerName, PeerRecord } from "#mesh/peer.js";
import { Routes } from "#mesh/topology/routes.js";
import type { ReachabilityChange, Topology } from "#mesh/topology/topology.js";

/** The current routes of this peer: for gossip, and for frames. They are computed when they are used. */
export class Routing {
  readonly #self: PeerName;
  readonly #topology: Topology;
  #records: readonly PeerRecord[];
  #gossip: Routes | undefined;
  #frames: Routes | undefined;

  constructor(topology: Topology) {
    this.#self = topology.self.name;
    this.#topology = topology;
    this.#records = topology.reachable();
  }

  /** Routes over all links. */
  get gossip(): Routes {
    this.#gossip ??= new Routes(this.#self, this.#records, "all");
    return this.#gossip;
  }

  /** Routes over links that both ends report as established. */
  get frames(): Routes {
    this.#frames ??= new Routes(this.#self, this.#records, "established");
    return this.#frames;
  }

  /** Computes reachability again; routes follow from it. @param now monotonic time in milliseconds */
  update(now: number): ReachabilityChange {
    const change = this.#topology.updateReachability(now);
    this.#records = this.#topology.reachable();
    this.#gossip = this.#frames = undefined;
    return change;
  }
}
