import assert from "node:assert/strict";
import { test } from "node:test";
import { COMMANDS } from "#cli/support/command-table.js";
import {
  alertRules,
  dashboard,
  dashboardExpressions,
  RULES_PAGE,
  selectorsOf,
  unknownIn,
} from "#test/lab/alert-rules.js";
import { declaredMetrics, unitOf } from "#test/lab/docs/api-page.js";
import { page } from "#test/lab/docs/pages.js";
import { hastyRules } from "#test/lab/watcher.js";

/** examples/prometheus names what exists; npm run test:prometheus runs it with Prometheus itself. */

const rules = alertRules();

test("the expressions of rules and dashboard use metrics and labels that the routers have", () => {
  assert.ok(rules.length > 20);
  for (const { alert, expr } of rules) assert.deepEqual(unknownIn(expr), [], alert);
  const expressions = dashboardExpressions();
  assert.ok(expressions.length > 20);
  for (const expr of expressions) assert.deepEqual(unknownIn(expr), [], expr);
});

test("an unknown metric or label in an expression is found", () => {
  assert.deepEqual(unknownIn('weave_nothing{job="weave"} > 0'), ["metric weave_nothing"]);
  assert.deepEqual(unknownIn('sum by (colour) (weave_peers{shape="round"})'), [
    "label shape of weave_peers",
    "label colour",
  ]);
  assert.deepEqual(unknownIn("weave_event_loop_delay_seconds > 1"), ["metric weave_event_loop_delay_seconds"]);
  assert.deepEqual(selectorsOf('rate(a_total{x="b{c}"}[5m]) / on (x) d offset 15m').selectors, [
    { metric: "a_total", labels: ["x"] },
    { metric: "d", labels: [] },
  ]);
});

test("each alert has a section in the page of operations, and each section an alert", () => {
  const text = page("docs/operations.md");
  const from = text.indexOf("\n## What each alert means");
  assert.ok(from > 0);
  const part = text.slice(from + 1, text.indexOf("\n## ", from + 1));
  const sections = [...part.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
  assert.deepEqual(
    sections,
    rules.map(({ alert }) => alert),
  );
  for (const { alert, runbook } of rules) assert.equal(runbook, `docs/operations.md#${alert.toLowerCase()}`);
});

test("each alert's description names a command of weave, and all that it names exist", () => {
  for (const { alert, description } of rules) {
    const named = [...description.matchAll(/\bweave ([a-z]+)/g)].map(([, name]) => name);
    assert.ok(named.length > 0, alert);
    for (const name of named) assert.ok(name in COMMANDS, `${alert}: weave ${name}`);
  }
});

test("the dashboard has what Grafana requires: unique panels that do not overlap, and its variables", () => {
  const { title, uid, schemaVersion, panels, templating } = dashboard();
  assert.deepEqual([title, uid], ["Weave", "weave"]);
  assert.ok(schemaVersion >= 36);
  assert.deepEqual(
    templating.list.map(({ name }) => name),
    ["datasource", "instance"],
  );
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { title: name, type, gridPos, targets = [] } of panels) {
    assert.ok(["row", "timeseries", "stat"].includes(type), name);
    assert.equal(targets.length > 0, type !== "row", name);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, name);
    assert.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, name);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!taken.has(`${x},${y}`), `${name} overlaps`);
        taken.add(`${x},${y}`);
      }
  }
});

test("names of metrics follow Prometheus' rules: counters end in _total, others do not, and labels are words", () => {
  for (const { name, type, labels = [], help, inWeaveNet } of declaredMetrics()) {
    assert.match(name, /^(?:weave|process|nodejs)_[a-z_]+[a-z]$/);
    assert.equal(name.endsWith("_total"), type === "counter", name);
    if (inWeaveNet !== true) assert.doesNotMatch(name, /_(?:count|sum|bucket)$/);
    if (type === "histogram") assert.notEqual(unitOf(name), "", name);
    for (const label of labels) assert.match(label, /^[a-z][a-z_]*$/, name);
    assert.match(help, /^[A-Z].*\.$|; .*\.$/, name);
  }
});

test("the rules of the test in a network differ from the file in durations alone", () => {
  const [file, hasty] = [page(RULES_PAGE), hastyRules(page(RULES_PAGE))];
  const without = (text: string) => text.replace(/(for: |\[| offset )\d+[smh]/g, "$1");
  assert.equal(without(hasty), without(file));
  assert.doesNotMatch(hasty, /(?:for: |\[| offset )\d+[mh]/);
  assert.match(hastyRules("        for: 10m"), / for: 20s$/);
  assert.match(hasty, /avg_over_time\(weave_peer_round_trip_seconds\{job="weave"\}\[40s\] offset 30s\)/);
  assert.match(hasty, /changes\(process_start_time_seconds\{job="weave"\}\[300s\]\) >= 3\n +for: 0s/);
});
