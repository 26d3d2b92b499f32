import type { ChildProcess } from "node:child_process";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RULES_PAGE } from "#test/lab/alert-rules.js";
import { page } from "#test/lab/docs/pages.js";
import type { Host } from "#test/lab/host.js";
import type { Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

/** Port of `--metrics-addr`. */
export const METRICS_PORT = 6_781;
const PROMETHEUS = "127.0.0.1:9090";
const LOOK_MS = 500;

/** Seconds that stand for a minute and for an hour of the rules: what takes minutes in a network takes seconds here. */
const SECONDS = { m: 2, h: 40 } as const;

/** Rules about what cannot be done faster: routers start again within this window, and on a busy machine a start takes many seconds. */
const SECONDS_OF: Readonly<Record<string, { readonly m: number; readonly h: number }>> = {
  WeaveRestartLoop: { m: 10, h: 600 },
};

/** The rules with shorter durations, and nothing else changed: how long an alert waits, the ranges of expressions, their offsets. */
export const hastyRules = (rules: string): string =>
  rules
    .split(/^(?= *- alert: )/m)
    .map((rule) => {
      const seconds = SECONDS_OF[/- alert: (\w+)/.exec(rule)?.[1] ?? ""] ?? SECONDS;
      const shorter = (_: string, count: string, unit: "m" | "h") => `${Number(count) * seconds[unit]}s`;
      return rule.replace(/(?<=^ +for: |\[| offset )(\d+)([mh])(?=\]|\b)/gm, shorter);
    })
    .join("");

/** An alert that fires, as Prometheus says. */
export interface FiringAlert {
  readonly alert: string;
  /** The address of its router; undefined where it is about the whole network. */
  readonly address: string | undefined;
  readonly summary: string;
}

/** A Prometheus in a namespace, with the project's configuration and rules, but hasty. It keeps which alerts have fired. */
export class Watcher {
  readonly #where: Namespace;
  readonly #folder: string;
  readonly #seen = new Map<string, FiringAlert>();
  #process: ChildProcess | undefined;
  #failure: unknown;

  constructor(where: Namespace, folder: string) {
    this.#where = where;
    this.#folder = join(folder, "prometheus");
  }

  async start(hosts: readonly Host[]): Promise<void> {
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, "weave.rules.yaml"), hastyRules(page(RULES_PAGE)));
    this.#configure(1);
    this.watch(hosts);
    this.#process = this.#where.spawn([
      "prometheus",
      `--config.file=${join(this.#folder, "prometheus.yaml")}`,
      `--storage.tsdb.path=${join(this.#folder, "data")}`,
      `--web.listen-address=${PROMETHEUS}`,
      "--web.enable-lifecycle",
    ]);
    for (const output of [this.#process.stdout, this.#process.stderr]) output?.resume();
    await until("all routers are read", async () => (await this.#up()) === hosts.length, 60_000);
    void this.#look();
  }

  /** Reads the routers at another interval. @param seconds also the longest time that a router may take for it */
  async pace(seconds: number): Promise<void> {
    this.#configure(seconds);
    await this.#where.must("curl", "-sf", "-X", "POST", `http://${PROMETHEUS}/-/reload`);
  }

  /** Replaces the targets. */
  watch(hosts: readonly Host[]): void {
    const targets = hosts.map(({ address }) => `${address}:${METRICS_PORT}`);
    const file = join(this.#folder, "weave.targets.yaml");
    writeFileSync(`${file}.new`, JSON.stringify(targets.length > 0 ? [{ targets }] : []));
    renameSync(`${file}.new`, file);
  }

  /** The start of the router that was read last on a host, in seconds since the Unix epoch; undefined: none was read of late. */
  async startOf({ address }: Host): Promise<number | undefined> {
    const series = `process_start_time_seconds{instance="${address}:${METRICS_PORT}"}`;
    const { result = [] } = (await this.#ask<Result>(`query?query=${encodeURIComponent(series)}`)) ?? {};
    return result.length > 0 ? Number(result[0].value[1]) : undefined;
  }

  /** What fires now. */
  async firing(): Promise<FiringAlert[]> {
    const { alerts } = (await this.#ask<{ alerts: ApiAlert[] }>("alerts")) ?? { alerts: [] };
    return alerts
      .filter(({ state }) => state === "firing")
      .map(({ labels, annotations }) => ({
        alert: labels.alertname,
        address: labels.instance?.replace(/:\d+$/, ""),
        summary: annotations.summary,
      }));
  }

  /** Forgets what has fired. */
  forget(): void {
    this.#seen.clear();
  }

  /** All that has fired. */
  get seen(): readonly FiringAlert[] {
    return [...this.#seen.values()];
  }

  /** Waits until an alert has fired for a host, or for the network. */
  async fires(alert: string, host: Host | undefined, timeoutMs: number): Promise<FiringAlert> {
    const key = keyOf(alert, host?.address);
    await until(
      `${alert} fires for ${host?.name ?? "the network"}`,
      () => {
        if (this.#failure !== undefined) throw this.#failure;
        return this.#seen.has(key);
      },
      timeoutMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; others have: ${[...this.#seen.keys()].join(", ")}`);
    });
    return this.#seen.get(key)!;
  }

  stop(): void {
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }

  async #look(): Promise<void> {
    try {
      while (this.#process !== undefined) {
        for (const alert of await this.firing()) this.#seen.set(keyOf(alert.alert, alert.address), alert);
        await sleep(LOOK_MS);
      }
    } catch (error) {
      this.#failure = error;
    }
  }

  #configure(seconds: number): void {
    const config = page("examples/prometheus/prometheus.yaml")
      .replace(/(scrape_interval|scrape_timeout): \S+/g, `$1: ${seconds}s`)
      .replace(/evaluation_interval: \S+/, "evaluation_interval: 1s");
    writeFileSync(join(this.#folder, "prometheus.yaml"), config);
  }

  async #up(): Promise<number> {
    const up = await this.#ask<Result>("query?query=up");
    return up?.result.filter(({ value: [, text] }) => text === "1").length ?? 0;
  }

  /** An answer of Prometheus' API; undefined while it starts. */
  async #ask<Data>(call: string): Promise<Data | undefined> {
    const { code, stdout } = await this.#where.run("curl", "-sf", `http://${PROMETHEUS}/api/v1/${call}`);
    return code === 0 ? (JSON.parse(stdout) as { data: Data }).data : undefined;
  }
}

interface Result {
  readonly result: readonly { readonly value: readonly [at: number, text: string] }[];
}

interface ApiAlert {
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const keyOf = (alert: string, address = ""): string => `${alert} ${address}`;
