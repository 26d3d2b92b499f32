import type { ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RULES_PAGE } from "#test/lab/alert-rules.js";
import { page } from "#test/lab/docs/pages.js";
import type { Host } from "#test/lab/host.js";
import type { Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

/** Port of `--metrics-addr`. */
export const METRICS_PORT = 6_781;
const PROMETHEUS = "127.0.0.1:9090";

/** The rules with a second for every quarter of a minute, and no waits: what takes minutes in a network takes seconds here. */
const hasty = (rules: string): string =>
  rules
    .replace(/for: \S+/g, "for: 0s")
    .replace(/\[1h\] offset 15m/g, "[60s] offset 20s")
    .replace(/\[(\d+)m\]/g, (_, minutes: string) => `[${4 * Number(minutes)}s]`);

/** A Prometheus in a namespace, with the project's configuration and rules, but hasty. */
export class Watcher {
  readonly #where: Namespace;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  constructor(where: Namespace, folder: string) {
    this.#where = where;
    this.#folder = join(folder, "prometheus");
  }

  async start(hosts: readonly Host[]): Promise<void> {
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, "weave.rules.yaml"), hasty(page(RULES_PAGE)));
    const config = page("examples/prometheus/prometheus.yaml")
      .replace(/(scrape|evaluation)_interval: \S+/g, "$1_interval: 1s")
      .replace(/scrape_timeout: \S+/, "scrape_timeout: 1s")
      .replace("- files:", "- refresh_interval: 1s\n        files:");
    writeFileSync(join(this.#folder, "prometheus.yaml"), config);
    this.watch(hosts);
    this.#process = this.#where.spawn([
      "prometheus",
      `--config.file=${join(this.#folder, "prometheus.yaml")}`,
      `--storage.tsdb.path=${join(this.#folder, "data")}`,
      `--web.listen-address=${PROMETHEUS}`,
    ]);
    await until("Prometheus answers", async () => (await this.#ask("up")).length >= hosts.length, 60_000);
  }

  /** Replaces the targets. */
  watch(hosts: readonly Host[]): void {
    const targets = hosts.map(({ address }) => `${address}:${METRICS_PORT}`);
    writeFileSync(join(this.#folder, "weave.targets.yaml"), JSON.stringify(targets.length > 0 ? [{ targets }] : []));
  }

  /** Names of the alerts that fire now. */
  async firing(): Promise<string[]> {
    const labels = await this.#ask('ALERTS{alertstate="firing"}');
    return [...new Set(labels.map(({ alertname }) => alertname))].sort();
  }

  /** Waits until alerts fire. */
  async fires(timeoutMs: number, ...alerts: readonly string[]): Promise<void> {
    const seen = new Set<string>();
    await until(
      `${alerts.join(", ")} fire`,
      async () => {
        for (const alert of await this.firing()) seen.add(alert);
        return alerts.every((alert) => seen.has(alert));
      },
      timeoutMs,
    );
  }

  stop(): void {
    this.#process?.kill("SIGKILL");
  }

  async #ask(query: string): Promise<Record<string, string>[]> {
    const url = `http://${PROMETHEUS}/api/v1/query?query=${encodeURIComponent(query)}`;
    const { stdout } = await this.#where.run("curl", "-s", url);
    if (stdout === "") return [];
    const { data } = JSON.parse(stdout) as { data?: { result: { metric: Record<string, string> }[] } };
    return data?.result.map(({ metric }) => metric) ?? [];
  }
}
