import type { Mesh } from "#mesh/mesh.js";
import type { MeshStatus } from "#mesh/options.js";
import type { Rejections } from "#mesh/rejections.js";
import { LABEL_WITHOUT_CARRIER } from "#router/peers/connection-report.js";
import { type Metric, type Sample, samplesBy } from "#router/service.js";

/** What services have rejected, by what it is about: `records`, `orders` and so on. */
export type RejectionSources = () => Readonly<Record<string, Pick<Rejections<string>, "harmful" | "total">>>;

/** The metrics of the mesh. @param rejections what all services have rejected, by what it is about */
export function peerMetrics(mesh: Mesh, rejections: RejectionSources): Metric[] {
  const counter = (name: string, help: string, read: () => number): Metric => ({ name, help, type: "counter", read });
  return [
    {
      name: "weave_connections",
      help: "Number of peer-to-peer connections.",
      type: "gauge",
      labels: ["encryption", "state", "type"],
      read: () => connectionSamples(mesh.status()),
    },
    {
      name: "weave_peers",
      help: "Number of reachable peers, this one included.",
      type: "gauge",
      read: () => mesh.status().peers.length,
    },
    counter(
      "weave_connection_terminations_total",
      "Number of peer-to-peer connections terminated.",
      () => mesh.status().terminations,
    ),
    {
      name: "weave_pinned_peers",
      help: "Number of peer names that belong to an identity on this host.",
      type: "gauge",
      read: () => mesh.trust.size,
    },
    {
      name: "weave_peer_conflicts",
      help: "Number of names and identities that two machines use, of the last quarter of an hour.",
      type: "gauge",
      read: () => mesh.status().conflicts.length,
    },
    counter(
      "weave_identities_refused_total",
      "Identities of other peers that were refused, here or at a peer that reports it.",
      () => mesh.trust.conflicts.total,
    ),
    counter(
      "weave_neighbour_pauses_seconds_total",
      "Time for which connections were not read, because the messages of the neighbour take more than its share.",
      () => mesh.status().slowed.reduce((sum, { pausedMs }) => sum + pausedMs, 0) / 1_000,
    ),
    {
      name: "weave_neighbours_slowed",
      help: "Number of neighbours whose messages take more than their share now.",
      type: "gauge",
      read: () => mesh.status().slowed.filter(({ slowed }) => slowed).length,
    },
    counter(
      "weave_wrong_passwords_total",
      "Wrong passwords of peers or strangers that have dialled this one.",
      () => mesh.status().wrongPasswords.total,
    ),
    {
      name: "weave_messages_quarantined_total",
      help: "What peers have sent and no honest peer sends, by what it is about, and why it was rejected.",
      type: "counter",
      labels: ["about", "reason"],
      read: () =>
        Object.entries(rejections()).flatMap(([about, { harmful }]) =>
          harmful.map(({ reason, count }) => ({ labels: { about, reason }, value: count })),
        ),
    },
    ...replicaMetrics(mesh),
    {
      name: "weave_connections_refused_total",
      help: "Connections of other peers that were refused, by reason.",
      type: "counter",
      labels: ["reason"],
      read: () => samplesBy("reason", mesh.status().refusals),
    },
  ];
}

/** What peers say of their names, addresses and tasks. */
function replicaMetrics(mesh: Mesh): Metric[] {
  return [
    {
      name: "weave_equivocations",
      help: "Number of peers that have signed two contents of one version.",
      type: "gauge",
      read: () => mesh.replicas.equivocations.length,
    },
    {
      name: "weave_replica_bytes",
      help: "Estimated memory of the records of all peers.",
      type: "gauge",
      read: () => mesh.replicas.usedBytes,
    },
  ];
}

/** The number of connections by encryption, state, and the carrier in use. */
export function connectionSamples({ connections, attempts }: ConnectionCounts): Sample[] {
  const counts = new Map<string, Sample & { value: number }>();
  const add = (encryption: string, state: string, type: string, count: number) => {
    const key = JSON.stringify([encryption, state, type]);
    const sample = counts.get(key) ?? { labels: { encryption, state, type }, value: 0 };
    counts.set(key, { ...sample, value: sample.value + count });
  };
  const count = (state: string, type: string, encrypted: boolean) => {
    // Each state has samples for both values of encryption: a graph then shows zero, not a gap.
    add(encrypted ? "yes" : "", state, type, 1);
    add(encrypted ? "" : "yes", state, type, 0);
  };
  for (const { state, overlay, encrypted } of connections)
    count(state, overlay?.name ?? LABEL_WITHOUT_CARRIER, encrypted);
  for (const { state } of attempts) count(state, LABEL_WITHOUT_CARRIER, false);
  return [...counts.values()];
}

/** The part of the mesh's status that is counted. */
export interface ConnectionCounts {
  readonly connections: readonly {
    readonly state: string;
    readonly encrypted: boolean;
    readonly overlay: { readonly name: string } | undefined;
  }[];
  readonly attempts: readonly Pick<MeshStatus["attempts"][number], "state">[];
}
