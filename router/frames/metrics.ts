import type { Datapath } from "#router/datapath/datapath.js";
import type { ThreadLoad } from "#router/datapath/occupancy.js";
import type { DatapathReport } from "#router/datapath/protocol.js";
import { type NeighbourMetricsDeps, neighbourMetrics, type ReadReport } from "#router/frames/neighbour-metrics.js";
import { type PeerSample, PeerSeries } from "#router/peer-series.js";
import { type Metric, type Sample, type Scrape, samplesBy } from "#router/service.js";
import { macFromNumber } from "#src/mac.js";

export interface FrameMetricsDeps extends NeighbourMetricsDeps {
  readonly datapath: Pick<Datapath, "report">;
  /** Maximum peers with series of their own, for each metric. */
  readonly maxPeers: number;
}

/** The metrics of the frame path, of all and of each neighbour. A scrape asks the threads once. */
export function frameMetrics(deps: FrameMetricsDeps): Metric[] {
  const ask = () => deps.datapath.report();
  const report: ReadReport = (scrape) => scrape.once(ask);
  const neighbours = new PeerSeries(deps.maxPeers);
  const claimants = new PeerSeries(deps.maxPeers);
  const sources = new PeerSeries(deps.maxPeers, "neighbour");
  return [
    ...threadMetrics(report),
    macClaims(report, claimants),
    sourceClaims(report, sources),
    ...neighbourMetrics(deps, report, neighbours),
    {
      name: "weave_metrics_peers_left_out",
      help: 'Number of peers above --metrics-peers, which share the series "others", by what the series are about.',
      type: "gauge",
      labels: ["about"],
      read: async (scrape) => {
        // The other series of this scrape choose the peers, after the report.
        await report(scrape);
        return samplesBy("about", {
          neighbours: neighbours.leftOut,
          "mac-claims": claimants.leftOut,
          "source-claims": sources.leftOut,
        });
      },
    },
  ];
}

function threadMetrics(report: ReadReport): Metric[] {
  return [
    {
      name: "weave_datapath_responding",
      help: "Whether all frame threads have answered this scrape, within 2 s; if not, their metrics are missing.",
      type: "gauge",
      read: async (scrape) => ((await report(scrape)) === undefined ? 0 : 1),
    },
    {
      name: "weave_datapath_thread_busy_seconds_total",
      help: "Time for which a frame thread has worked, or was ready to and waited for a core; neither asleep nor polling for more. Its rate is the thread's occupancy.",
      type: "counter",
      labels: ["thread"],
      read: async (scrape) => loadSamples(await report(scrape), ({ busyMs }) => busyMs),
    },
    {
      name: "weave_datapath_thread_waiting_seconds_total",
      help: "Time for which a frame thread was ready to run and had no core, as other programs or threads had them all.",
      type: "counter",
      labels: ["thread"],
      read: async (scrape) => loadSamples(await report(scrape), ({ waitedMs }) => waitedMs),
    },
    {
      name: "weave_datapath_drops_total",
      help: "Frames, records and datagrams dropped, by reason.",
      type: "counter",
      labels: ["reason"],
      read: async (scrape) => samplesBy("reason", { ...(await report(scrape))?.drops }),
    },
    {
      name: "weave_datapath_total",
      help: "Work of the frame path, by kind.",
      type: "counter",
      labels: ["kind"],
      read: async (scrape) => samplesBy("kind", { ...(await report(scrape))?.counters }),
    },
  ];
}

/** A time of each thread, in seconds; none where the kernel does not count it. */
const loadSamples = (report: DatapathReport | undefined, timeMs: (load: ThreadLoad) => number | undefined): Sample[] =>
  (report?.loads ?? []).flatMap((load, thread) => {
    const ms = timeMs(load);
    return ms === undefined ? [] : [{ labels: { thread: String(thread) }, value: ms / 1_000 }];
  });

function macClaims(report: ReadReport, series: PeerSeries): Metric {
  return claims(series, {
    name: "weave_datapath_mac_claims_total",
    help: "MACs of others in frames of a peer, by what became of them: moved to it, held elsewhere, refused on our bridge, above its share.",
    label: "peer",
    read: async (scrape) =>
      (await report(scrape))?.macClaims?.map(({ peer, moves, held, refused, full }) => ({
        peer,
        results: { moves, held, refused, full },
      })),
  });
}

function sourceClaims(report: ReadReport, series: PeerSeries): Metric {
  return claims(series, {
    name: "weave_datapath_source_claims_total",
    help: "Records of other peers that a neighbour sent without a known route, by result: delivered unproven, refused.",
    label: "neighbour",
    read: async (scrape) =>
      (await report(scrape))?.sourceClaims?.map(({ neighbour, unproven, refused }) => ({
        peer: neighbour,
        results: { unproven, refused },
      })),
  });
}

/** What a peer has claimed, by result. */
interface PeerClaims {
  readonly peer: number;
  readonly results: Readonly<Record<string, number>>;
}

interface ClaimsMetric {
  readonly name: string;
  readonly help: string;
  /** The label that names the peer, as in the series. */
  readonly label: string;
  readonly read: (scrape: Scrape) => Promise<readonly PeerClaims[] | undefined>;
}

function claims(series: PeerSeries, { name, help, label, read }: ClaimsMetric): Metric {
  const samples = ({ peer, results }: PeerClaims): PeerSample[] =>
    Object.entries(results).map(([result, value]) => ({ peer: macFromNumber(peer), labels: { result }, value }));
  return {
    name,
    help,
    type: "counter",
    labels: [label, "result"],
    read: async (scrape) => counted(series, name, ((await read(scrape)) ?? []).flatMap(samples)),
  };
}

function counted(series: PeerSeries, name: string, samples: readonly PeerSample[]): Sample[] {
  series.choose(samples.map(({ peer }) => peer));
  return series.counter(name, samples);
}
