import type { PeerName } from "#mesh/peer.js";
import { Routes } from "#mesh/routes.js";
import type { ReachabilityChange, Topology } from "#mesh/topology.js";

/** The current routes of this peer: for gossip, and for frames. */
export class Routing {
  readonly #self: PeerName;
  readonly #topology: Topology;
  #gossip: Routes;
  #frames: Routes;

  constructor(topology: Topology) {
    this.#self = topology.self.name;
    this.#topology = topology;
    this.#gossip = this.#frames = this.#compute("all");
  }

  /** Routes over all links. */
  get gossip(): Routes {
    return this.#gossip;
  }

  /** Routes over links that both ends report as established. */
  get frames(): Routes {
    return this.#frames;
  }

  /** Computes reachability and routes again. @param now monotonic time in milliseconds */
  update(now: number): ReachabilityChange {
    const change = this.#topology.updateReachability(now);
    this.#gossip = this.#compute("all");
    this.#frames = this.#compute("established");
    return change;
  }

  #compute(links: "all" | "established"): Routes {
    return new Routes(this.#self, this.#topology.reachable(), links);
  }
}
