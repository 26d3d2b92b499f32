import { declaredMetrics } from "#test/lab/docs/api-page.js";
import { page } from "#test/lab/docs/pages.js";

/** The rules and the dashboard of examples/prometheus, and which metrics their expressions use. */

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly severity: string;
  readonly summary: string;
  readonly description: string;
  readonly runbook: string;
}

export const RULES_PAGE = "examples/prometheus/weave.rules.yaml";

/** The file's rules, each of eight lines in this order. @throws Error: a line is not what it must be */
export function alertRules(text = page(RULES_PAGE)): AlertRule[] {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const keys = [
    ["alert", /^ {6}- alert: (\w+)$/],
    ["expr", /^ {8}expr: (.+)$/],
    ["for", /^ {8}for: (\d+[mh])$/],
    [undefined, /^ {8}labels:$/],
    ["severity", /^ {10}severity: (critical|warning|info)$/],
    [undefined, /^ {8}annotations:$/],
    ["summary", /^ {10}summary: "(.+)"$/],
    ["description", /^ {10}description: "(.+)"$/],
    ["runbook", /^ {10}runbook_url: "(.+)"$/],
  ] as const;
  const rules: AlertRule[] = [];
  for (let at = 3; at < lines.length; at += keys.length) {
    const rule: Record<string, string> = {};
    for (const [index, [key, form]] of keys.entries()) {
      const match = form.exec(lines[at + index] ?? "");
      if (match === null) throw new Error(`${RULES_PAGE}: ${lines[at + index]} is not ${form}`);
      if (key !== undefined) rule[key] = match[1];
    }
    rules.push(rule as unknown as AlertRule);
  }
  return rules;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

export interface Dashboard {
  readonly title: string;
  readonly uid: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
}

export const dashboard = (): Dashboard => JSON.parse(page("examples/prometheus/weave.dashboard.json")) as Dashboard;

/** The expressions of the dashboard, with Grafana's variables replaced. */
export const dashboardExpressions = (): string[] =>
  dashboard()
    .panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    .map((expr) => expr.replaceAll("$__rate_interval", "1m").replaceAll("$instance", ".*"));

/** What Prometheus itself adds. */
const PROMETHEUS: Readonly<Record<string, readonly string[]>> = {
  up: [],
  ALERTS: ["alertname", "alertstate"],
};
const TARGET_LABELS = ["job", "instance"];
const WORDS: ReadonlySet<string> = new Set(["and", "or", "unless", "offset", "by", "on", "group_left"]);

/** A metric of an expression, and the labels of its selector. */
export interface Selector {
  readonly metric: string;
  readonly labels: readonly string[];
}

/** The selectors of an expression in PromQL, and the labels that it groups by. */
export function selectorsOf(expr: string): { selectors: Selector[]; grouped: string[] } {
  const bare = expr.replace(/"[^"]*"/g, '""').replace(/\[[^\]]*\]/g, "");
  const grouped = [...bare.matchAll(/\b(?:by|on|group_left) \(([^)]*)\)/g)].flatMap(([, list]) => list.split(/,\s*/));
  const rest = bare.replace(/\b(?:by|on|group_left) \([^)]*\)/g, "");
  const selectors = [...rest.matchAll(/\b([a-zA-Z_]\w*)\b(?!\s*\()(?:\{([^}]*)\})?/g)]
    .filter(([, word]) => !WORDS.has(word))
    .map(([, metric, labels = ""]) => ({
      metric,
      labels: [...labels.matchAll(/(\w+)\s*[=!]/g)].map(([, name]) => name),
    }));
  return { selectors, grouped };
}

/** What is wrong with an expression: metrics and labels that no router has. */
export function unknownIn(expr: string): string[] {
  const known = new Map(declaredMetrics().map((metric) => [metric.name, metric]));
  const { selectors, grouped } = selectorsOf(expr);
  const labelsOf = (name: string): readonly string[] | undefined => {
    const base = name.replace(/_(?:bucket|sum|count)$/, "");
    const histogram = known.get(base);
    if (histogram?.type === "histogram" && base !== name) return [...(histogram.labels ?? []), "le"];
    const metric = known.get(name);
    return metric === undefined || metric.type === "histogram" ? PROMETHEUS[name] : (metric.labels ?? []);
  };
  const all = new Set([...TARGET_LABELS, ...selectors.flatMap(({ metric }) => labelsOf(metric) ?? [])]);
  return [
    ...(selectors.length === 0 ? ["no metric"] : []),
    ...selectors.flatMap(({ metric, labels }) => {
      const allowed = labelsOf(metric);
      if (allowed === undefined) return [`metric ${metric}`];
      return labels
        .filter((label) => !allowed.includes(label) && !TARGET_LABELS.includes(label))
        .map((label) => `label ${label} of ${metric}`);
    }),
    ...grouped.filter((label) => !all.has(label)).map((label) => `label ${label}`),
  ];
}
