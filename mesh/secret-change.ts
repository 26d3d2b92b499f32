import type { Connection } from "#mesh/connection/connection.js";
import type { NeighbourTable } from "#mesh/connection/neighbour-table.js";
import type { MeshOptions } from "#mesh/options.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import type { Member } from "#mesh/rekey/acknowledgements.js";
import type { OrderStore, RekeyNeighbour } from "#mesh/rekey/options.js";
import { Rekey } from "#mesh/rekey/rekey.js";
import type { Topology } from "#mesh/topology/topology.js";

type RekeyOptions = Pick<
  MeshOptions,
  "name" | "nickname" | "signer" | "clock" | "random" | "log" | "secrets" | "trust" | "orders"
>;

/** Keeps orders for one run only. */
const forgetful: OrderStore = { state: undefined, save() {} };

/** Makes the {@link Rekey} of a mesh. */
export function meshRekey(
  options: RekeyOptions,
  { neighbours, topology }: { readonly neighbours: NeighbourTable; readonly topology: Topology },
): Rekey {
  const { name, nickname, signer, clock, random, log, secrets, trust, orders } = options;
  return new Rekey({
    self: { name, nickname },
    ...{ signer, clock, random, log, secrets },
    exclusions: {
      isExcluded: (identity) => trust.isRevoked(identity),
      exclude: (identity, by) => trust.exclude(identity, by),
      identityOf: (peer: PeerName) => trust.identityOf(peer),
    },
    network: {
      *neighbours() {
        for (const connection of neighbours) yield rekeyNeighbour(connection);
      },
      *members(): Generator<Member> {
        for (const record of topology.reachable()) if (record.name !== name) yield record;
      },
      time: () => neighbours.time(),
    },
    store: orders ?? forgetful,
  });
}

/** The other end of an open connection, as a {@link Rekey} uses it. */
export function rekeyNeighbour(connection: Connection): RekeyNeighbour {
  const remote = connection.remote!;
  return {
    identity: remote.identity,
    name: remote.name,
    text: peerText(remote),
    send: (payload) => connection.send({ kind: "rekey", payload }),
  };
}
