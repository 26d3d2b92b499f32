import type { WeaveDns } from "#router/names/weave-dns.js";
import { type Metric, samplesBy } from "#router/service.js";

/** The metrics of weaveDNS. */
export function nameMetrics(dns: WeaveDns): Metric[] {
  return [
    {
      name: "weave_dns_entries",
      help: "Number of DNS entries that this peer gives.",
      type: "gauge",
      inWeaveNet: true,
      read: () => dns.names.ownSize,
    },
    {
      name: "weave_dns_queries_total",
      help: "DNS queries, by what became of them.",
      type: "counter",
      labels: ["result"],
      read: () => samplesBy("result", dns.queryCounts ?? {}),
    },
  ];
}
