import type { Route } from "#router/route.js";

/**
 * One feature of the router, as the control API sees it. Every part is optional. The API loops
 * over the services in their order, and knows nothing else of them; `router.ts` makes them, and the stack of resources
 * ({@link Resources}) ends them.
 */
export interface Service {
  readonly name: string;
  routes?(): readonly Route[];
  /**
   * This feature's part of `weave report`, under the top-level keys that it owns. Values are plain data; a bigint is shown as
   * a number.
   */
  report?(): object | Promise<object>;
  /** Paragraphs of `weave status`, each of whole lines (see {@link statusLine}). Made from typed data, never from text. */
  statusBlocks?(): readonly string[] | Promise<readonly string[]>;
  metrics?(): readonly Metric[];
}

/** A metric as plain data: the library that writes Prometheus' format is loaded at the first scrape, and known to one file. */
export interface Metric {
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  /** A counter only grows, and is kept elsewhere: a scrape reads it. */
  readonly type: "gauge" | "counter";
  /** Names of the labels; none by default. */
  readonly labels?: readonly string[];
  /** The values at this moment. A number is the one value of a metric without labels. */
  read(): MetricValue | Promise<MetricValue>;
}

export type MetricValue = number | readonly Sample[];

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples of one label: a value for each key. */
export const samplesBy = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));

/** A line of `weave status`: labels end in column 16. */
export const statusLine = (label: string, value: string | number): string => `${label.padStart(15)}: ${value}\n`;
