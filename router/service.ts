import type { Route } from "#router/route.js";

/**
 * One feature of the router, as the control API uses it. Every method is optional. The API calls the services in their order.
 * `router.ts` creates the services, and the stack of resources ({@link Resources}) stops them.
 */
export interface Service {
  readonly name: string;
  routes?(): readonly Route[];
  /**
   * This service's part of `weave report`, under its own top-level keys. Values are plain data; a bigint is printed as a
   * number.
   */
  report?(): object | Promise<object>;
  /** Paragraphs of `weave status`, each of whole lines (see {@link statusLine}). */
  statusBlocks?(): readonly string[] | Promise<readonly string[]>;
  metrics?(): readonly Metric[];
}

/** A metric as plain data. Only router/api/metrics.ts uses the library that writes Prometheus' format. */
export interface Metric {
  /** With its unit (`_seconds`, `_bytes`, `_ratio`), and `_total` for a counter, as Prometheus recommends. */
  readonly name: string;
  /** Description in one sentence. */
  readonly help: string;
  /** A counter only grows. */
  readonly type: "gauge" | "counter" | "histogram";
  /** Names of the labels; default: none. */
  readonly labels?: readonly string[];
  /** Whether Weave Net has it, with the same name, labels and meaning. */
  readonly inWeaveNet?: boolean;
  /** Reads the current values. A number is the value of a metric without labels. */
  read(scrape: Scrape): MetricValue | Promise<MetricValue>;
}

export type MetricValue = number | readonly Sample[] | HistogramValue;

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What a histogram has counted since the start. */
export interface HistogramValue {
  /** Upper bounds of the buckets, ascending, and how many values were at most as large. */
  readonly buckets: readonly { readonly atMost: number; readonly count: number }[];
  readonly sum: number;
  readonly count: number;
}

/** One answer to a scrape. What several metrics need is read once for all of them. */
export class Scrape {
  readonly #values = new Map<() => unknown, unknown>();

  /** Returns the result of `read`, of the first call for this function. */
  once<T>(read: () => T): T {
    if (!this.#values.has(read)) this.#values.set(read, read());
    return this.#values.get(read) as T;
  }
}

/** The samples of a metric with one label: one for each key of `values`. */
export const samplesBy = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));

/** A line of `weave status`. The colon after the label is in column 16. */
export const statusLine = (label: string, value: string | number): string => `${label.padStart(15)}: ${value}\n`;
