import type { Registry } from "prom-client";
import { quarantined } from "#router/api/report.js";
import type { Router } from "#router/router.js";

/** The type of a connection over which no frames can travel yet. */
const NO_CARRIER = "unknown";

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
    const { collectDefaultMetrics, Counter, Gauge, Registry } = await import("prom-client");
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const router = this.#router;
    const registers = [registry];
    new Gauge({
      name: "weave_connections",
      help: "Number of peer-to-peer connections.",
      labelNames: ["encryption", "state", "type"] as const,
      registers,
      collect() {
        this.reset();
        const { connections, attempts } = router.mesh.status();
        const count = (state: string, type: string, encrypted: boolean) => {
          // Both values for every state seen: a graph then shows zero, not a gap.
          this.inc({ encryption: encrypted ? "yes" : "", state, type }, 1);
          this.inc({ encryption: encrypted ? "" : "yes", state, type }, 0);
        };
        for (const { state, overlay, encrypted } of connections) count(state, overlay?.name ?? NO_CARRIER, encrypted);
        for (const { state } of attempts) count(state, NO_CARRIER, false);
      },
    });
    new Gauge({
      name: "weave_peers",
      help: "Number of peers within reach, this one included.",
      registers,
      collect() {
        this.set(router.mesh.status().peers.length);
      },
    });
    /** A counter that is kept elsewhere: one value for each label, or one in all. */
    const counter = (name: string, help: string, label: string, read: () => Promise<Record<string, number>>) =>
      new Counter({
        name,
        help,
        labelNames: label === "" ? [] : [label],
        registers,
        async collect() {
          this.reset();
          for (const [key, count] of Object.entries(await read()))
            this.inc(label === "" ? {} : { [label]: key }, count);
        },
      });
    this.#ipam(registers, Gauge);
    counter("weave_connection_terminations_total", "Number of peer-to-peer connections terminated.", "", async () => ({
      all: router.mesh.status().terminations,
    }));
    const { dns } = router;
    if (dns !== undefined) {
      new Gauge({
        name: "weave_dns_entries",
        help: "Number of DNS entries that this peer gives.",
        registers,
        collect() {
          this.set(dns.names.ownSize);
        },
      });
      counter("weave_dns_queries_total", "DNS queries, by what became of them.", "result", async () => ({
        ...dns.server?.counts,
      }));
    }
    counter("weave_messages_quarantined_total", "Messages of peers that were set aside.", "", async () => ({
      all: quarantined(router),
    }));
    counter("weave_log_lines_lost_total", "Lines of the log that could not be written.", "", async () => ({
      all: router.logLinesLost,
    }));
    counter(
      "weave_connections_refused_total",
      "Connections of others that were refused, by reason.",
      "reason",
      async () => ({
        ...router.mesh.status().refusals,
      }),
    );
    counter("weave_datapath_drops_total", "Frames, records and datagrams dropped, by reason.", "reason", async () => ({
      ...(await router.datapath.report())?.drops,
    }));
    counter("weave_datapath_total", "Work of the frame path, by kind.", "kind", async () => ({
      ...(await router.datapath.report())?.counters,
    }));
    return registry;
  }

  #ipam(registers: Registry[], Gauge: typeof import("prom-client").Gauge): void {
    const { ipam } = this.#router;
    if (ipam === undefined) return;
    const { allocator } = ipam;
    const gauge = (name: string, help: string, read: () => number, labels: Record<string, string> = {}) =>
      new Gauge({
        name,
        help,
        labelNames: Object.keys(labels),
        registers,
        collect() {
          this.set(labels, read());
        },
      });
    const away = () => [...(allocator.ring?.shares() ?? [])].filter(([peer]) => !allocator.isReachable(peer));
    const waiting = (kind: string) => allocator.waiters.filter((waiter) => waiter.kind === kind).length;
    const size = Number(allocator.range.end - allocator.range.start);
    gauge("weave_ips", "Number of IP addresses in use here.", () => allocator.activeCount, { state: "local-used" });
    gauge("weave_max_ips", "Size of IP address space used by allocator.", () => size);
    gauge("weave_ipam_unreachable_count", "Number of unreachable peers that own IP ranges.", () => away().length);
    gauge(
      "weave_ipam_unreachable_percentage",
      "Percentage of the range that unreachable peers own.",
      () => (100 * away().reduce((sum, [, owned]) => sum + Number(owned), 0)) / size,
    );
    gauge("weave_ipam_pending_allocates", "Number of allocations that wait.", () => waiting("allocate"));
    gauge("weave_ipam_pending_claims", "Number of claims that wait.", () => waiting("claim"));
    gauge(
      "weave_ipam_contested_ips",
      "Number of addresses in use here that belong to other peers.",
      () => allocator.contested.length,
    );
  }
}
