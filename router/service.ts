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
  readonly name: string;
  /** Description in one sentence. */
  readonly help: string;
  /** A counter only grows. */
  readonly type: "gauge" | "counter";
  /** Names of the labels; default: none. */
  readonly labels?: readonly string[];
  /** Reads the current values. A number is the value of a metric without labels. */
  read(): MetricValue | Promise<MetricValue>;
}

export type MetricValue = number | readonly Sample[];

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The samples of a metric with one label: one for each key of `values`. */
export const samplesBy = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));

/** A line of `weave status`. The colon after the label is in column 16. */
export const statusLine = (label: string, value: string | number): string => `${label.padStart(15)}: ${value}\n`;
