import type { Datapath } from "#router/datapath/datapath.js";
import { type Metric, samplesBy } from "#router/service.js";

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
  ];
}
