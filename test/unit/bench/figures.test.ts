import assert from "node:assert/strict";
import { test } from "node:test";
import { best, middle, percentile, type Row, ratio, settle } from "#test/bench/figures.js";
import type { Overlay } from "#test/bench/overlays.js";
import { figureTables, type Medians, ratios, ratioTable } from "#test/bench/report.js";

const quiet = (value: number) => ({ value, noisy: false });
const noisy = (value: number) => ({ value, noisy: true });

test("medians do not depend on the order", () => {
  assert.equal(middle([3, 1, 2]), 2);
  assert.equal(middle([10, 2, 4, 100]), 7);
  assert.ok(Number.isNaN(middle([])));
});

test("noisy values count only where there are no others", () => {
  assert.deepEqual(settle([quiet(1), noisy(100), quiet(3)]), quiet(2));
  assert.deepEqual(settle([noisy(4), noisy(6)]), noisy(5));
  assert.equal(settle([]), undefined);
});

test("percentiles are values that were measured", () => {
  const times = Array.from({ length: 200 }, (_, i) => i);
  assert.equal(percentile(times, 0.99), 198);
  assert.equal(percentile([5], 0.99), 5);
  assert.ok(Number.isNaN(percentile([], 0.99)));
});

test("the best of throughput is the highest, of latency the lowest; rows without the figure do not count", () => {
  const rows = new Map<string, Row>([
    ["a", { tcp1: 2, ping: 300 }],
    ["b", { tcp1: 3, ping: 400 }],
    ["c", { ping: Number.NaN }],
  ]);
  assert.deepEqual(best(rows, "tcp1"), { name: "b", value: 3 });
  assert.deepEqual(best(rows, "ping"), { name: "a", value: 300 });
  assert.equal(best(rows, "rss"), undefined);
});

test("a ratio to zero or to nothing is none", () => {
  assert.equal(ratio(6, 3), 2);
  assert.equal(ratio(6, 0), undefined);
  assert.equal(ratio(undefined, 3), undefined);
  assert.equal(ratio(0, 0), undefined);
});

const overlay = (name: string, kind: Overlay["kind"], layer: 2 | 3): Overlay => ({
  name,
  kind,
  layer,
  cipher: "none",
  version: "",
  start: () => Promise.reject(new Error("not started")),
});

const medians = (tcp1: number, ping: number): Medians =>
  new Map([
    ["tcp1", quiet(tcp1)],
    ["ping", noisy(ping)],
  ]);

const ours = overlay("ours", "ours", 2);
const patched = overlay("patched", "ours", 2);
const results = new Map<Overlay, Medians>([
  [overlay("vxlan", "reference", 2), medians(12, 100)],
  [ours, medians(3, 400)],
  [patched, medians(6, 200)],
  [overlay("fastd", "peer", 2), medians(0.5, 350)],
  [overlay("tinc", "peer", 2), medians(0.3, 250)],
  [overlay("wireguard-go", "peer", 3), medians(1.5, 500)],
]);

test("ratios are to VXLAN, to the best peer of layer 2, to the best peer, and to the first build", () => {
  const found = ratios(patched, results);
  assert.deepEqual(found.get("tcp1"), {
    vxlan: 0.5,
    layer2: { name: "fastd", value: 0.5, ratio: 12 },
    peer: { name: "wireguard-go", value: 1.5, ratio: 4 },
    ours: 2,
  });
  assert.deepEqual(found.get("ping"), {
    vxlan: 2,
    layer2: { name: "tinc", value: 250, ratio: 0.8 },
    peer: { name: "tinc", value: 250, ratio: 0.8 },
    ours: 0.5,
  });
  assert.equal(ratios(ours, results).get("tcp1")?.ours, undefined);
});

test("without peers and VXLAN there are no ratios to them", () => {
  const alone = new Map([[ours, medians(3, 400)]]);
  assert.deepEqual(ratios(ours, alone).get("tcp1"), {
    vxlan: undefined,
    layer2: undefined,
    peer: undefined,
    ours: undefined,
  });
});

test("a build with nothing to compare it with has no table of ratios", () => {
  assert.equal(ratioTable(ours, new Map([[ours, medians(3, 400)]])), "");
});

test("tables have a line for each overlay, and mark medians of noisy values", () => {
  const text = figureTables(results);
  assert.match(text, /vxlan \(clear\) +12\.00/);
  assert.match(text, /wireguard-go \(L3\) +1\.50/);
  assert.match(text, /fastd \(L2\) +~350/);
  assert.match(ratioTable(patched, results), /↑ TCP 1 +6\.00 +0\.50 +12\.00 +fastd +4\.00 +wireguard-go +2\.00/);
});
