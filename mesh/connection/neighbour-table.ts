import type { Connection } from "#mesh/connection/connection.js";
import { meshTime } from "#mesh/counter.js";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** The open connections of this peer: at most one to each other peer. */
export class NeighbourTable implements Iterable<Connection> {
  readonly #clock: Clock;
  readonly #connections = new Map<PeerName, Connection>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Returns the open connection to a peer; undefined if there is none. */
  get(peer: PeerName): Connection | undefined {
    return this.#connections.get(peer);
  }

  /** Adds an open connection, in place of an earlier one to the same peer. */
  add(connection: Connection): void {
    this.#connections.set(connection.remote!.name, connection);
  }

  /** Removes a connection. @returns false if the table does not contain it: another one replaced it, or it never opened */
  remove(connection: Connection): boolean {
    const name = connection.remote?.name;
    if (name === undefined || this.#connections.get(name) !== connection) return false;
    return this.#connections.delete(name);
  }

  [Symbol.iterator](): Iterator<Connection> {
    return this.#connections.values();
  }

  /**
   * Returns the time of this network, in milliseconds since the Unix epoch: see {@link meshTime}.
   *
   * @param candidate a connection that is not yet admitted, whose clock is included
   */
  time(candidate?: Connection): number {
    const now = this.#clock.now();
    const clocks = [...this, ...(candidate === undefined ? [] : [candidate])].map((each) => each.remoteTime(now));
    return meshTime(this.#clock.wall(), clocks);
  }
}
