import type { Counter, Gauge, Registry } from "prom-client";
import type { Metric, MetricValue, Service } from "#router/service.js";

/**
 * The metrics of all services in Prometheus' text format. The library is loaded at the first scrape: most routers are never
 * scraped, and start faster without it.
 */
export class MetricsPage {
  readonly #services: readonly Service[];
  #registry: Promise<Registry> | undefined;

  constructor(services: readonly Service[]) {
    this.#services = services;
  }

  async text(): Promise<string> {
    this.#registry ??= this.#makeRegistry();
    return (await this.#registry).metrics();
  }

  async #makeRegistry(): Promise<Registry> {
    const { collectDefaultMetrics, Counter, Gauge, Registry } = await import("#router/api/prometheus.js");
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    for (const metric of this.#services.flatMap((service) => service.metrics?.() ?? [])) {
      const { name, help, labels = [] } = metric;
      const options = { name, help, labelNames: [...labels], registers: [registry] };
      if (metric.type === "gauge")
        new Gauge({
          ...options,
          async collect() {
            await collect(this, metric);
          },
        });
      else
        new Counter({
          ...options,
          async collect() {
            await collect(this, metric);
          },
        });
    }
    return registry;
  }
}

async function collect(target: Counter | Gauge, metric: Metric): Promise<void> {
  const samples = samplesOf(await metric.read());
  target.reset();
  for (const { labels, value } of samples) target.inc(labels, value);
}

const samplesOf = (value: MetricValue) => (typeof value === "number" ? [{ labels: {}, value }] : value);
