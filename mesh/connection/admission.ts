import type { Connection } from "#mesh/connection/connection.js";
import type { NeighbourTable } from "#mesh/connection/neighbour-table.js";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { DialSchedule } from "#mesh/dialling/schedule.js";
import type { Hello } from "#mesh/handshake/hello.js";
import { agreeOnCarriers } from "#mesh/overlay.js";
import { peerText } from "#mesh/peer.js";
import { Refusal } from "#mesh/refusals.js";
import type { Secrets } from "#mesh/secrets.js";
import type { Topology } from "#mesh/topology/topology.js";
import { cloneText, collisionText, excludedText, retiredText, strangerText } from "#mesh/trust/text.js";
import type { Trust } from "#mesh/trust/trust.js";
import { WeaveError } from "#src/errors.js";

const OLD_PASSWORD =
  "the network's password has changed, and with the earlier one only known peers can connect: launch with the new one";

/** The collaborators of an {@link Admission}. */
export interface AdmissionDeps {
  readonly topology: Topology;
  readonly neighbours: NeighbourTable;
  readonly schedule: DialSchedule;
  readonly trust: Trust;
  readonly secrets: Secrets;
}

/** Decides whether a connection may stay. Of two connections to one peer, both ends keep the same one. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #limit: number;
  /** Ranks of connections, equal at both ends: of two connections to one peer, the one with the lower rank stays. */
  readonly #ranks = new WeakMap<Connection, number>();

  /** @param limit maximum number of connections; 0 for no limit */
  constructor(deps: AdmissionDeps, limit: number) {
    this.#deps = deps;
    this.#limit = limit;
  }

  /**
   * Admits a connection, and sets its carriers. An older connection to the same peer that it replaces is closed.
   *
   * @param hello the hello of this end
   * @throws Refusal; WEAVE_CONNECTION when the older connection stays
   */
  admit(connection: Connection, hello: Hello): void {
    const { topology, neighbours, schedule, trust } = this.#deps;
    const limit = this.#limit;
    const self = topology.self;
    const remote = connection.remote!;
    if (remote.uid === self.uid) throw new Refusal("self", "cannot connect to ourself");
    this.#checkIdentity(connection);
    this.#checkClock(connection);
    connection.carriers = agreeOnCarriers(hello.overlays, remote.overlays, connection.outbound);
    const { dialled } = connection;
    if (topology.get(remote.name) === undefined && dialled !== undefined && !schedule.isTarget(dialled))
      throw new Refusal("unknown", `Found unknown remote name: ${remote.name} at ${dialled}`);
    if (trust.isCopy(remote)) throw new Refusal("clone", cloneText(remote));
    const rank = (hello.connectionId ^ remote.connectionId) >>> 0;
    const other = neighbours.get(remote.name);
    if (other !== undefined) {
      const duplicate = new WeaveError(
        "WEAVE_CONNECTION",
        `Multiple connections to ${peerText(remote)} added to ${peerText(self)}`,
      );
      // The other end would not have dialled while it has the old connection: a silent old one is dead.
      const both = other.remote!.uid === remote.uid && !other.silent;
      if (both && rank >= this.#ranks.get(other)!) throw duplicate;
      // The old connection has the higher rank, belongs to an earlier run of the peer, or to a copy of its machine.
      const copied = trust.clones.isCopy(remote.identity, other.remote!.uid);
      other.close(copied ? new Refusal("clone", cloneText(remote)) : duplicate);
    }
    if (limit > 0 && neighbours.size >= limit) throw new Refusal("limit", `Connection limit reached (${limit})`);
    this.#ranks.set(connection, rank);
    trust.pin(remote, true);
  }

  /** Rejects a peer whose identity is not that of its name, or is not accepted. */
  #checkIdentity(connection: Connection): void {
    const { topology, neighbours, trust, secrets } = this.#deps;
    const { self } = topology;
    const remote = connection.remote!;
    if (remote.identity === self.identity) {
      trust.cloned(self);
      throw new Refusal("clone", cloneText(self));
    }
    const verdict = trust.judge(remote);
    trust.refused(remote);
    if (verdict === "excluded") throw new Refusal("excluded", excludedText(remote));
    // An excluded peer would return as a new one: it knows the earlier secret.
    if (verdict !== "trusted" && secrets.isEarlier(connection.secret)) throw new Refusal("password", OLD_PASSWORD);
    if (verdict === "retired") throw new Refusal("retired", retiredText(remote));
    if (remote.name === self.name || remote.key === self.key)
      throw new Refusal("collision", collisionText(self, remote));
    const known = topology.get(remote.name);
    const pin = trust.get(remote.name);
    const isOther = known !== undefined && known.identity !== remote.identity;
    if (verdict !== "pinned-elsewhere" && !isOther) return;
    // Perhaps the same host with a new disk: the heartbeat detects whether its old connection is dead.
    neighbours.get(remote.name)?.send({ kind: "heartbeat" });
    if (isOther && !topology.isSuspended(remote.name)) throw new Refusal("collision", collisionText(known, remote));
    if (pin !== undefined) throw new Refusal("identity", strangerText(pin, remote));
  }

  /** Rejects a peer whose clock is far ahead: all peers would reject its record. */
  #checkClock(connection: Connection): void {
    const remote = connection.remote!;
    const ahead = remote.incarnation - this.#deps.neighbours.time(connection);
    if (ahead <= MAX_AHEAD_MS) return;
    throw new Refusal(
      "clock",
      `the clock of ${peerText(remote)} was ${Math.floor(ahead / MAX_AHEAD_MS)} days ahead when it started: set the clocks right and launch it again`,
    );
  }
}
