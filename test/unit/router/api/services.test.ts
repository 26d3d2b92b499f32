import assert from "node:assert/strict";
import { test } from "node:test";
import { makeReport, makeStatus, type ProcessFacts } from "#router/api/report.js";
import { apiRoutes, routesFor } from "#router/api/routes.js";
import { type Answer, type Route, route, statusRoute } from "#router/route.js";
import { type Service, samplesBy, statusLine } from "#router/service.js";
import { Problems } from "#src/problems.js";

const services: readonly Service[] = [
  {
    name: "first",
    routes: () => [route("POST /first", () => ({})), statusRoute("/status/first", () => ({ body: "first\n" }))],
    report: async () => ({ IPAM: { Status: "ready" } }),
    statusBlocks: () => [statusLine("Service", "first")],
    metrics: () => [
      { name: "weave_one", help: "One.", type: "gauge", read: () => 1 },
      {
        name: "weave_drops_total",
        help: "Drops.",
        type: "counter",
        labels: ["reason"],
        read: async () => samplesBy("reason", { late: 2, forged: 0 }),
      },
    ],
  },
  { name: "second", report: () => ({ Mine: 1, DNS: {}, Router: { UID: 1n } }) },
  {
    name: "third",
    statusBlocks: async () => [statusLine("Service", "a"), statusLine("Service", "b")],
    metrics: () => [{ name: "weave_none_total", help: "None.", type: "counter", labels: ["kind"], read: () => [] }],
  },
];

const problems = new Problems();
problems.set("log", "the disk is full");
const facts: ProcessFacts = { problems, supervision: "systemd", reload: () => "info" };

async function call(routes: readonly Route[], method: string, path: string, accept = "", query = ""): Promise<Answer> {
  const found = routes.find((each) => each.method === method && each.pattern.test(path));
  assert.ok(found, `${method} ${path}`);
  const form = new URLSearchParams(query);
  return found.handle({
    method,
    path,
    params: {},
    form,
    accept,
    lastEventId: "",
    bySocket: false,
    body: Buffer.alloc(0),
    signal: new AbortController().signal,
  });
}

test("the report has the process's keys, then those of Weave Net in its order, then those of other services", async () => {
  const report = (await makeReport(services, facts)) as Record<string, unknown>;
  const keys = ["Ready", "Version", "VersionCheck", "Supervision", "Problems", "Router", "DNS", "IPAM", "Mine"];
  assert.deepEqual(Object.keys(report), keys);
  assert.deepEqual(report.Problems, ["the disk is full"]);
  assert.deepEqual(report.IPAM, { Status: "ready" });
  const { type, body } = await call(apiRoutes(services, facts), "GET", "/report", "application/json");
  assert.equal(type, "application/json");
  assert.equal(JSON.parse(body!).Router.UID, 1);
});

test("the status has a paragraph for the process, and those of each service in turn", async () => {
  const text = (await makeStatus(services, facts)).replace(/Version: .*/, "Version: x");
  assert.equal(
    text,
    "        Version: x\n    Supervision: systemd\n        Problem: the disk is full\n\n        Service: first\n\n        Service: a\n\n        Service: b\n",
  );
});

test("metrics are written in Prometheus' format, and read at each scrape", async () => {
  let value = 5;
  const moving: Service = {
    name: "moving",
    metrics: () => [
      { name: "weave_moving", help: "Moves.", type: "gauge", read: () => value },
      { name: "weave_moving_total", help: "Moves.", type: "counter", read: () => value },
      {
        name: "weave_late_seconds",
        help: "Late.",
        type: "histogram",
        read: () => ({ buckets: [{ atMost: 0.5, count: 2 }], sum: 3.5, count: value }),
      },
    ],
  };
  const routes = apiRoutes([...services, moving], facts);
  const scrape = async () => (await call(routes, "GET", "/metrics")).body!;
  const first = await scrape();
  assert.match(first, /# HELP weave_one One\.\n# TYPE weave_one gauge\nweave_one 1\n/);
  assert.match(
    first,
    /# TYPE weave_drops_total counter\nweave_drops_total\{reason="late"\} 2\nweave_drops_total\{reason="forged"\} 0\n/,
  );
  assert.match(first, /# TYPE weave_none_total counter\n(?!weave_none_total)/);
  assert.match(first, /\nweave_moving 5\n/);
  assert.match(first, /\nweave_moving_total 5\n/);
  assert.match(
    first,
    /# TYPE weave_late_seconds histogram\nweave_late_seconds_bucket\{le="0.5"\} 2\nweave_late_seconds_bucket\{le="\+Inf"\} 5\nweave_late_seconds_sum 3.5\nweave_late_seconds_count 5\n/,
  );
  value = 3;
  const second = await scrape();
  assert.match(second, /\nweave_moving 3\n/);
  assert.match(second, /\nweave_moving_total 3\n/);
  assert.match(second, /reason="late"\} 2\n/);
});

test("what several metrics need is read once for a scrape, and again for the next", async () => {
  let reads = 0;
  const count = async () => ++reads;
  const shared: Service = {
    name: "shared",
    metrics: () =>
      ["weave_a", "weave_b"].map((name) => ({
        ...{ name, help: "Shared.", type: "gauge" },
        read: (scrape) => scrape.once(count),
      })),
  };
  const routes = apiRoutes([shared], facts);
  const scrape = async () => (await call(routes, "GET", "/metrics")).body!;
  assert.match(await scrape(), /weave_a 1\n[\s\S]*weave_b 1\n/);
  assert.match(await scrape(), /weave_a 2\n[\s\S]*weave_b 2\n/);
});

test("two metrics of one name are an error", async () => {
  const twice: Service = {
    name: "twice",
    metrics: () => [1, 2].map((value) => ({ name: "weave_x", help: "X.", type: "gauge", read: () => value })),
  };
  await assert.rejects(call(apiRoutes([twice], facts), "GET", "/metrics"), /weave_x has already been registered/);
});

test("each listener has the routes of its scope and of the narrower ones", () => {
  const routes = apiRoutes(services, facts);
  const paths = (scope: "metrics" | "status" | "control") =>
    routesFor(scope, routes).map(({ method, pattern }) => `${method} ${pattern.source}`);
  assert.deepEqual(paths("metrics"), ["GET ^\\/metrics$", "GET ^\\/healthz$", "GET ^\\/readyz$"]);
  assert.deepEqual(
    paths("status").sort(),
    [...paths("metrics"), "GET ^\\/report$", "GET ^\\/status$", "GET ^\\/status\\/first$"].sort(),
  );
  assert.deepEqual(paths("control"), [...paths("status"), "POST ^\\/first$"].sort(order(paths("control"))));
  assert.ok(
    routesFor("status", routes).every(({ changes }) => !changes),
    "the status port changes nothing",
  );
});

const order =
  (expected: readonly string[]) =>
  (a: string, b: string): number =>
    expected.indexOf(a) - expected.indexOf(b);
