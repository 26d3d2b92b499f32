import type { DialSchedule } from "#mesh/dialling/schedule.js";
import type { Topology } from "#mesh/topology/topology.js";
import type { Clock } from "#src/clock.js";
import { hostOf } from "#src/net/host-port.js";

/** Age at which the set of hosts is made again: all links of a large network are thousands, and strangers cause the question. */
const FRESH_MS = 10_000;

interface PeerHostsDeps {
  readonly topology: Pick<Topology, "reachable" | "suspended">;
  readonly schedule: Pick<DialSchedule, "targets">;
}

/** The hosts that the topology or the operator names as peers'. */
export class PeerHosts {
  readonly #clock: Clock;
  readonly #deps: PeerHostsDeps;
  #hosts: ReadonlySet<string> = new Set();
  #madeAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, deps: PeerHostsDeps) {
    this.#clock = clock;
    this.#deps = deps;
  }

  has(host: string): boolean {
    const now = this.#clock.now();
    if (now - this.#madeAt >= FRESH_MS) {
      const { topology, schedule } = this.#deps;
      const records = [...topology.reachable(), ...topology.suspended()];
      const linked = records.flatMap(({ links }) => links.map(({ address }) => hostOf(address)));
      this.#hosts = new Set([...linked, ...schedule.targets.map(({ address }) => hostOf(address))]);
      this.#madeAt = now;
    }
    return this.#hosts.has(host);
  }
}
