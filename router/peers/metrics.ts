import type { Mesh } from "#mesh/mesh.js";
import type { MeshStatus } from "#mesh/options.js";
import type { Rejections } from "#mesh/rejections.js";
import { LABEL_WITHOUT_CARRIER } from "#router/peers/connection-report.js";
import { type Metric, type Sample, type Scrape, samplesBy } from "#router/service.js";

/** What services have rejected, by what it is about: `records`, `orders` and so on. */
export type RejectionSources = () => Readonly<Record<string, Pick<Rejections<string>, "harmful" | "total">>>;

/** The metrics of the mesh. @param rejections what all services have rejected, by what it is about */
export function peerMetrics(mesh: Mesh, rejections: RejectionSources): Metric[] {
  const look = () => mesh.status();
  const status: ReadStatus = (scrape) => scrape.once(look);
  return [
    ...connectionMetrics(status),
    ...trustMetrics(mesh, status),
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
    {
      name: "weave_clock_behind_seconds",
      help: "By how much the clock of this host is behind the median of its neighbours' clocks; 0: it is not.",
      type: "gauge",
      read: () => Math.max(0, mesh.time() - Date.now()) / 1_000,
    },
    ...gossipMetrics(status),
    ...replicaMetrics(mesh),
  ];
}

/** Reads the mesh's status, once for a scrape. */
type ReadStatus = (scrape: Scrape) => MeshStatus;

/** A metric without labels. */
const single = (type: "gauge" | "counter", name: string, help: string, read: (scrape: Scrape) => number): Metric => ({
  name,
  help,
  type,
  read,
});

/** The metrics of connections and of what their neighbours take. */
function connectionMetrics(status: ReadStatus): Metric[] {
  return [
    {
      name: "weave_connections",
      help: "Number of peer-to-peer connections.",
      type: "gauge",
      labels: ["encryption", "state", "type"],
      inWeaveNet: true,
      read: (scrape) => connectionSamples(status(scrape)),
    },
    {
      name: "weave_connection_terminations_total",
      help: "Number of peer-to-peer connections terminated.",
      type: "counter",
      inWeaveNet: true,
      read: (scrape) => status(scrape).terminations,
    },
    {
      name: "weave_connections_refused_total",
      help: "Connections of other peers that were refused, by reason.",
      type: "counter",
      labels: ["reason"],
      read: (scrape) => samplesBy("reason", status(scrape).refusals),
    },
    single(
      "gauge",
      "weave_peers",
      "Number of reachable peers, this one included.",
      (scrape) => status(scrape).peers.length,
    ),
    single(
      "counter",
      "weave_neighbour_pauses_seconds_total",
      "Time for which connections were not read, because the messages of the neighbour take more than its share.",
      (scrape) => status(scrape).pausedMs / 1_000,
    ),
    single(
      "gauge",
      "weave_neighbours_slowed",
      "Number of neighbours whose messages take more than their share now.",
      (scrape) => status(scrape).slowed.filter(({ slowed }) => slowed).length,
    ),
  ];
}

/** The metrics of identities and passwords. */
function trustMetrics(mesh: Mesh, status: ReadStatus): Metric[] {
  return [
    single(
      "gauge",
      "weave_pinned_peers",
      "Number of peer names that belong to an identity on this host.",
      () => mesh.trust.size,
    ),
    single(
      "gauge",
      "weave_peer_conflicts",
      "Number of names and identities that two machines use, of the last quarter of an hour.",
      (scrape) => status(scrape).conflicts.length,
    ),
    single(
      "counter",
      "weave_identities_refused_total",
      "Identities of other peers that were refused, here or at a peer that reports it.",
      () => mesh.trust.conflicts.total,
    ),
    single(
      "counter",
      "weave_wrong_passwords_total",
      "Wrong passwords of peers or strangers that have dialled this one.",
      (scrape) => status(scrape).wrongPasswords.total,
    ),
  ];
}

/** The gossip of this peer and what it relays, by channel. */
function gossipMetrics(status: ReadStatus): Metric[] {
  const read = (count: "bytes" | "messages") => (scrape: Scrape) =>
    status(scrape).gossip.flatMap(({ channel, sent, received }) => [
      { labels: { channel, direction: "sent" }, value: sent[count] },
      { labels: { channel, direction: "received" }, value: received[count] },
    ]);
  return [
    {
      name: "weave_gossip_bytes_total",
      help: "Bytes of gossip messages, by channel; relayed: of channels that this peer does not use.",
      type: "counter",
      labels: ["channel", "direction"],
      read: read("bytes"),
    },
    {
      name: "weave_gossip_messages_total",
      help: "Number of gossip messages, by channel.",
      type: "counter",
      labels: ["channel", "direction"],
      read: read("messages"),
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
      name: "weave_replica_records",
      help: "Number of records of all peers, by what they are about.",
      type: "gauge",
      labels: ["set"],
      read: () => mesh.replicas.sizes.map(({ set, records }) => ({ labels: { set }, value: records })),
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
