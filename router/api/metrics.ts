import type { Metric as LibraryMetric } from "prom-client";
import { type HistogramValue, type Metric, type MetricValue, Scrape, type Service } from "#router/service.js";

/** One line of the page. */
interface Line {
  /** Undefined: the metric's own name. */
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/**
 * The metrics of all services in Prometheus' text format. The library is loaded at the first scrape: most routers are never
 * scraped, and start faster without it.
 */
export class MetricsPage {
  readonly #metrics: readonly Metric[];

  constructor(services: readonly Service[]) {
    this.#metrics = services.flatMap((service) => service.metrics?.() ?? []);
  }

  /** @throws Error: two metrics have one name */
  async text(): Promise<string> {
    const { Registry } = await import("#router/api/prometheus.js");
    const registry = new Registry();
    const scrape = new Scrape();
    for (const metric of this.#metrics) {
      const { name, help, type } = metric;
      // The library's own metrics keep values; ours are read when the page is written.
      const read = { name, help, type, get: async () => ({ name, help, type, values: await linesOf(metric, scrape) }) };
      registry.registerMetric(read as unknown as LibraryMetric);
    }
    return registry.metrics();
  }
}

async function linesOf({ name, read }: Metric, scrape: Scrape): Promise<readonly Line[]> {
  const value = await read(scrape);
  return isHistogram(value) ? histogramLines(name, value) : typeof value === "number" ? [{ labels: {}, value }] : value;
}

const isHistogram = (value: MetricValue): value is HistogramValue => typeof value === "object" && "buckets" in value;

const histogramLines = (name: string, { buckets, sum, count }: HistogramValue): Line[] => [
  ...buckets.map(({ atMost, count: value }) => ({ metricName: `${name}_bucket`, labels: { le: atMost }, value })),
  { metricName: `${name}_bucket`, labels: { le: "+Inf" }, value: count },
  { metricName: `${name}_sum`, labels: {}, value: sum },
  { metricName: `${name}_count`, labels: {}, value: count },
];
