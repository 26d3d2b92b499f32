import type { Datapath } from "#router/datapath/datapath.js";
import { type Metric, type Sample, samplesBy } from "#router/service.js";
import { macFromNumber } from "#src/mac.js";

const samplesOf = (labels: Readonly<Record<string, string>>, counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([result, value]) => ({ labels: { ...labels, result }, value }));

export function frameMetrics(datapath: Datapath): Metric[] {
  return [
    {
      name: "weave_datapath_drops_total",
      help: "Frames, records and datagrams dropped, by reason.",
      type: "counter",
      labels: ["reason"],
      read: async () => samplesBy("reason", { ...(await datapath.report())?.drops }),
    },
    {
      name: "weave_datapath_total",
      help: "Work of the frame path, by kind.",
      type: "counter",
      labels: ["kind"],
      read: async () => samplesBy("kind", { ...(await datapath.report())?.counters }),
    },
    {
      name: "weave_datapath_mac_claims_total",
      help: "MACs of others in frames of a peer, by what became of them: moved to it, held elsewhere, refused on our bridge, above its share.",
      type: "counter",
      labels: ["peer", "result"],
      read: async () =>
        ((await datapath.report())?.macClaims ?? []).flatMap(({ peer, moves, held, refused, full }) =>
          samplesOf({ peer: macFromNumber(peer) }, { moves, held, refused, full }),
        ),
    },
    {
      name: "weave_datapath_source_claims_total",
      help: "Records of other peers that a neighbour sent without a known route, by result: delivered unproven, refused.",
      type: "counter",
      labels: ["neighbour", "result"],
      read: async () =>
        ((await datapath.report())?.sourceClaims ?? []).flatMap(({ neighbour, unproven, refused }) =>
          samplesOf({ neighbour: macFromNumber(neighbour) }, { unproven, refused }),
        ),
    },
  ];
}
