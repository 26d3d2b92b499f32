import type { Registry } from "prom-client";
import { makeReport } from "#router/api/report.js";
import type { Router } from "#router/router.js";

/**
 * Metrics in Prometheus' text format, under the original's names where it had them. The library is loaded with the first
 * scrape: most routers are never scraped, and start the sooner.
 */
export class Metrics {
  readonly #router: Router;
  #registry: Promise<Registry> | undefined;

  constructor(router: Router) {
    this.#router = router;
  }

  async text(): Promise<string> {
    this.#registry ??= this.#make();
    return (await this.#registry).metrics();
  }

  async #make(): Promise<Registry> {
    const { collectDefaultMetrics, Gauge, Registry } = await import("prom-client");
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const router = this.#router;
    const registers = [registry];
    const connections = new Gauge({
      name: "weave_connections",
      help: "Number of peer-to-peer connections.",
      labelNames: ["encryption", "state", "type"] as const,
      registers,
      async collect() {
        this.reset();
        for (const { State, Attrs, Info } of (await makeReport(router, false)).Router.Connections) {
          const type = Attrs === null ? "unknown" : "sleeve";
          // Both values for every state seen: a graph then shows zero, not a gap.
          const encrypted = Attrs !== null && Info.startsWith("encrypted");
          this.inc({ encryption: encrypted ? "yes" : "", state: State, type }, 1);
          this.inc({ encryption: encrypted ? "" : "yes", state: State, type }, 0);
        }
      },
    });
    void connections;
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge(
      "weave_connection_terminations_total",
      "Number of peer-to-peer connections terminated.",
      () => router.mesh.status().terminations,
    );
    gauge("weave_peers", "Number of peers within reach, this one included.", () => router.mesh.status().peers.length);
    gauge(
      "weave_messages_quarantined_total",
      "Messages of peers that were set aside.",
      () => router.mesh.status().quarantined,
    );
    new Gauge({
      name: "weave_datapath_drops_total",
      help: "Frames, records and datagrams dropped, by reason.",
      labelNames: ["reason"] as const,
      registers,
      async collect() {
        for (const [reason, count] of Object.entries((await router.datapath.report())?.drops ?? {}))
          this.set({ reason }, count);
      },
    });
    new Gauge({
      name: "weave_datapath_total",
      help: "Work of the frame path, by kind.",
      labelNames: ["kind"] as const,
      registers,
      async collect() {
        for (const [kind, count] of Object.entries((await router.datapath.report())?.counters ?? {}))
          this.set({ kind }, count);
      },
    });
    return registry;
  }
}
