import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ALERT_CASES } from "#test/lab/alert-cases.js";
import { alertRules, dashboardExpressions, RULES_PAGE } from "#test/lab/alert-rules.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { Lab } from "#test/lab/lab.js";
import { execute, must } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";

/** The files of examples/prometheus, as Debian's promtool judges them. */

const skip = hostTestsImpossible() ?? programMissing("promtool", "prometheus", false) ?? false;
const rules = alertRules();

/** It makes a database for each test: seconds in all, on a machine of its own. */
const PROMTOOL_MS = 600_000;

test("promtool accepts configuration, rules, and the expressions of the dashboard", { skip }, async () => {
  await must("promtool", "check", "config", join(ROOT, "examples/prometheus/prometheus.yaml"));
  const lab = await Lab.create(1);
  try {
    const file = join(lab.folder, "dashboard.rules.json");
    const records = dashboardExpressions().map((expr, index) => ({ record: `panel_${index}`, expr }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules: records }] }));
    await must("promtool", "check", "rules", file);
  } finally {
    await lab.dispose();
  }
});

/** What a template gives, for labels alone. */
const rendered = (text: string, labels: Readonly<Record<string, string>>): string =>
  text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? "");

/** promtool's test of one case: at last it fires with its texts, and does not while the network is calm. */
function unitTests({ alert, severity, summary, description, runbook, expr, for: wait }: (typeof rules)[number]) {
  const { fires, calm, labels: own = {} } = ALERT_CASES[alert];
  const { instance = "h1:6781", ...more } = own;
  const labels: Record<string, string> = { job: "weave", ...(instance && { instance }), ...more };
  const series = (values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([name, text]) => ({ series: name, values: text }));
  // Those with a long time have fired by then, and the mean of the hour before still has its beginning.
  const at = wait === "1h" || expr.includes("offset") ? "2h" : "40m";
  const annotations = { summary, description, runbook_url: runbook };
  const expected = {
    exp_labels: { severity, ...labels },
    exp_annotations: Object.fromEntries(
      Object.entries(annotations).map(([key, text]) => [key, rendered(text, labels)]),
    ),
  };
  const test = (values: Readonly<Record<string, string>>, alerts: readonly object[]) => ({
    interval: "1m",
    input_series: series(values),
    alert_rule_test: [{ eval_time: at, alertname: alert, exp_alerts: alerts }],
  });
  return [test(fires, [expected]), test(calm, [])];
}

test("each alert fires with its texts on the values that it is for, and not in a calm network", { skip }, async () => {
  assert.deepEqual(
    Object.keys(ALERT_CASES),
    rules.map(({ alert }) => alert),
  );
  const lab = await Lab.create(1);
  try {
    const file = join(lab.folder, "tests.json");
    const tests = rules.flatMap(unitTests);
    const rule_files = [join(ROOT, RULES_PAGE)];
    writeFileSync(file, JSON.stringify({ rule_files, evaluation_interval: "5m", tests }));
    const { code, stdout, stderr } = await execute("promtool", ["test", "rules", file], {}, PROMTOOL_MS);
    assert.equal(code, 0, stdout + stderr);
  } finally {
    await lab.dispose();
  }
});
