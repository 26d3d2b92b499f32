/** What {@link MetricsPage} uses of prom-client, as one module that can be loaded on demand. */
export { Registry } from "prom-client";
