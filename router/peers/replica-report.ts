import type { Mesh } from "#mesh/mesh.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import type { RejectionReason } from "#mesh/replica/rejections.js";

/** The section of the report about what peers say of their names, addresses and tasks. */
export interface ReplicaReport {
  /** Number of rejected messages and states, by reason. */
  readonly RejectedRecords: Readonly<Record<RejectionReason, number>>;
  /** The neighbours that sent what no honest peer sends, with the numbers by reason. */
  readonly RejectedFrom: readonly string[];
  /** Peers that have signed two contents of one version. Their records are ignored until they restart. */
  readonly Equivocations: readonly string[];
  /** Estimated memory of all replicated sets. */
  readonly ReplicaBytes: number;
}

export function replicaReport(mesh: Mesh): ReplicaReport {
  const { rejections, equivocations, usedBytes } = mesh.replicas;
  const text = (name: PeerName) => peerText({ name, nickname: mesh.peer(name)?.nickname ?? "?" });
  return {
    RejectedRecords: rejections.counts,
    RejectedFrom: rejections
      .culprits()
      .map(
        ({ neighbour, counts }) =>
          `${text(neighbour)}: ${counts.map(({ reason, count }) => `${count} ${reason}`).join(", ")}`,
      ),
    Equivocations: equivocations.map(
      ({ origin, set, version }) => `${text(origin)} signed two contents of version ${version} of its ${set}`,
    ),
    ReplicaBytes: usedBytes,
  };
}
