/** What {@link MetricsPage} uses of prom-client, as one module that can be loaded on demand. */
export { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
