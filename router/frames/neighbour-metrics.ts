import type { Mesh } from "#mesh/mesh.js";
import type { MeshStatus } from "#mesh/options.js";
import type { Carriers } from "#router/carriers/carriers.js";
import type { SessionFigures } from "#router/carriers/peer-session.js";
import type { DatapathReport } from "#router/datapath/protocol.js";
import type { PeerSample, PeerSeries } from "#router/peer-series.js";
import type { Metric, Scrape } from "#router/service.js";
import { macFromNumber } from "#src/mac.js";

/** Maximum characters of a nickname in a label. */
const MAX_LABEL = 64;
/** The version of an early build, which sends none. */
const NO_VERSION = "unknown";

export interface NeighbourMetricsDeps {
  readonly carriers: Pick<Carriers, "figures">;
  readonly mesh: Pick<Mesh, "status">;
}

/** What the threads report; undefined: one of them does not answer. */
export type ReadReport = (scrape: Scrape) => Promise<DatapathReport | undefined>;

interface NeighbourFigures {
  readonly connections: MeshStatus["connections"];
  /** With those that were connected before: their counters go on. */
  readonly figures: readonly (SessionFigures & { readonly peer: string })[];
}

/** Reads all that the metrics of neighbours need. */
type ReadNeighbours = (scrape: Scrape) => NeighbourFigures;

/** The metrics of each neighbour: its path, its traffic, and what waits to be sent. */
export function neighbourMetrics(
  { carriers, mesh }: NeighbourMetricsDeps,
  report: ReadReport,
  series: PeerSeries,
): Metric[] {
  const look = (): NeighbourFigures => {
    const { connections } = mesh.status();
    const figures = [...carriers.figures()].map(([peer, each]) => ({ ...each, peer }));
    series.choose([...connections.map(({ remote }) => remote!.name), ...figures.map(({ peer }) => peer)]);
    return { connections, figures };
  };
  const read: ReadNeighbours = (scrape) => scrape.once(look);
  return [
    ...stateMetrics(read, series),
    ...pathMetrics(read, series),
    ...countMetrics(read, series),
    trafficMetric(read, report, series),
  ];
}

/** The metrics of connections. */
function stateMetrics(read: ReadNeighbours, series: PeerSeries): Metric[] {
  return [
    {
      name: "weave_peer_info",
      help: "Nickname and version of a neighbour; the value is 1.",
      type: "gauge",
      labels: ["peer", "nickname", "version"],
      read: (scrape) =>
        series.own(
          read(scrape).connections.map(({ remote }) => {
            const { name: peer, nickname, version = NO_VERSION } = remote!;
            const [name, release] = [nickname, version].map((text) => text.slice(0, MAX_LABEL));
            return { peer, labels: { nickname: name, version: release }, value: 1 };
          }),
        ),
    },
    {
      name: "weave_peer_pending",
      help: "Whether no frames pass to a connected neighbour.",
      type: "gauge",
      labels: ["peer"],
      read: (scrape) =>
        series.gauge(
          read(scrape).connections.map(({ remote, state }) => ({
            peer: remote!.name,
            value: Number(state !== "established"),
          })),
          "sum",
        ),
    },
    {
      name: "weave_peer_queue_bytes",
      help: "Bytes that wait to be sent to a neighbour over its connection: gossip, and frames by the carrier stream.",
      type: "gauge",
      labels: ["peer"],
      read: (scrape) =>
        series.gauge(
          read(scrape).connections.map(({ remote, wire }) => ({ peer: remote!.name, value: wire.buffered })),
          "sum",
        ),
    },
  ];
}

/** The metrics of carriers and of what they measure. */
function pathMetrics(read: ReadNeighbours, series: PeerSeries): Metric[] {
  return [
    {
      name: "weave_peer_carrier",
      help: "The carrier of frames to a neighbour: 1 for the one in use, 0 for the others that both ends have.",
      type: "gauge",
      labels: ["peer", "carrier"],
      read: (scrape) =>
        series.gauge(
          read(scrape).figures.flatMap(({ peer, carrier, carriers }) =>
            carriers.map((each) => ({ peer, labels: { carrier: each }, value: Number(each === carrier) })),
          ),
          "sum",
        ),
    },
    {
      name: "weave_peer_carrier_below_best",
      help: "Whether frames to a neighbour take another carrier than the best that both ends have.",
      type: "gauge",
      labels: ["peer"],
      read: (scrape) =>
        series.gauge(
          read(scrape)
            .figures.filter(({ carrier }) => carrier !== undefined)
            .map(({ peer, carrier, carriers }) => ({ peer, value: Number(carrier !== carriers[0]) })),
          "sum",
        ),
    },
    {
      name: "weave_peer_round_trip_seconds",
      help: "Smoothed round trip of pings by UDP to a neighbour, the longest for others; absent while UDP does not pass, and while only the neighbour pings: the end that has dialled does.",
      type: "gauge",
      labels: ["peer"],
      read: (scrape) =>
        series.gauge(
          read(scrape).figures.flatMap(({ peer, roundTripMs }) =>
            roundTripMs === undefined ? [] : [{ peer, value: roundTripMs / 1_000 }],
          ),
          "largest",
        ),
    },
  ];
}

/** The counters of the sessions. */
function countMetrics(read: ReadNeighbours, series: PeerSeries): Metric[] {
  const counter = (
    name: string,
    help: string,
    labels: readonly string[],
    samples: (figures: SessionFigures["counts"] & { readonly peer: string }) => readonly PeerSample[],
  ): Metric => ({
    ...{ name, help, type: "counter", labels: ["peer", ...labels] },
    read: (scrape) =>
      series.counter(
        name,
        read(scrape).figures.flatMap(({ peer, counts }) => samples({ ...counts, peer })),
      ),
  });
  return [
    counter(
      "weave_peer_carrier_changes_total",
      "How often the carrier in use for a neighbour has failed, or a better one has replaced it.",
      [],
      ({ peer, carrierChanges }) => [{ peer, value: carrierChanges }],
    ),
    counter("weave_peer_rekeys_total", "Changes of the keys of frames to a neighbour.", [], ({ peer, rekeys }) => [
      { peer, value: rekeys },
    ]),
    counter(
      "weave_peer_records_expected_total",
      "Records by UDP between this host and a neighbour, while many flow; those sent by the word of the neighbour.",
      ["direction"],
      ({ peer, sentExpected, receivedExpected }) => directions(peer, sentExpected, receivedExpected),
    ),
    counter(
      "weave_peer_records_arrived_total",
      "Records of weave_peer_records_expected_total that have arrived: one minus the ratio of the rates is the loss.",
      ["direction"],
      ({ peer, sentArrived, receivedArrived }) => directions(peer, sentArrived, receivedArrived),
    ),
  ];
}

const directions = (peer: string, sent: number, received: number): PeerSample[] => [
  { peer, labels: { direction: "sent" }, value: sent },
  { peer, labels: { direction: "received" }, value: received },
];

function trafficMetric(read: ReadNeighbours, report: ReadReport, series: PeerSeries): Metric {
  const name = "weave_peer_bytes_total";
  return {
    name,
    help: "Bytes of sealed records to and from a neighbour, by sleeve and stream; the kernel's are in weave_fastdp_bytes_total.",
    type: "counter",
    labels: ["peer", "direction"],
    read: async (scrape) => {
      read(scrape);
      const traffic = (await report(scrape))?.traffic ?? [];
      const samples = traffic.flatMap(({ peer, bytesSent, bytesReceived }) =>
        directions(macFromNumber(peer), bytesSent, bytesReceived),
      );
      return series.counter(name, samples);
    },
  };
}
