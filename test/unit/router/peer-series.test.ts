import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { OTHER_PEERS, PeerSeries } from "#router/peer-series.js";

const values = (samples: readonly { labels: Readonly<Record<string, string>>; value: number }[]) =>
  Object.fromEntries(samples.map(({ labels, value }) => [labels.peer, value]));

test("peers above the limit share one series, and their number is known", () => {
  const series = new PeerSeries(2);
  series.choose(["a", "b", "c", "d"]);
  assert.equal(series.leftOut, 2);
  const samples = ["a", "b", "c", "d"].map((peer, index) => ({ peer, value: index + 1 }));
  assert.deepEqual(values(series.gauge(samples, "sum")), { a: 1, b: 2, [OTHER_PEERS]: 7 });
  assert.deepEqual(values(series.gauge(samples, "largest")), { a: 1, b: 2, [OTHER_PEERS]: 4 });
  assert.deepEqual(values(series.counter("n", samples)), { a: 1, b: 2, [OTHER_PEERS]: 7 });
  assert.deepEqual(values(series.own(samples)), { a: 1, b: 2 });
});

test("a peer keeps its series while others come and go, and its place is free when it leaves", () => {
  const series = new PeerSeries(2);
  series.choose(["b", "c"]);
  series.choose(["a", "b", "c"]);
  assert.deepEqual(values(series.own(["a", "b", "c"].map((peer) => ({ peer, value: 1 })))), { b: 1, c: 1 });
  series.choose(["a", "c"]);
  assert.deepEqual(values(series.own(["a", "b", "c"].map((peer) => ({ peer, value: 1 })))), { a: 1, c: 1 });
  assert.equal(series.leftOut, 0);
});

test("without a limit's room all share one series, by their further labels", () => {
  const series = new PeerSeries(0);
  series.choose(["a", "b"]);
  const samples = ["a", "b"].flatMap((peer) =>
    ["sent", "received"].map((direction) => ({ peer, labels: { direction }, value: 5 })),
  );
  assert.deepEqual(series.counter("bytes", samples), [
    { labels: { peer: OTHER_PEERS, direction: "sent" }, value: 10 },
    { labels: { peer: OTHER_PEERS, direction: "received" }, value: 10 },
  ]);
});

test("no counter falls while peers come, go, return and move between the series", () => {
  const scrapes = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 5 })), { maxLength: 30 });
  fc.assert(
    fc.property(scrapes, fc.integer({ min: 0, max: 4 }), (present, limit) => {
      const series = new PeerSeries(limit);
      const totals = [0, 0, 0, 0, 0, 0];
      let others = 0;
      for (const peers of present) {
        for (const peer of peers) totals[peer] += peer + 1;
        series.choose(peers.map(String));
        const samples = series.counter(
          "n",
          peers.map((peer) => ({ peer: String(peer), value: totals[peer] })),
        );
        for (const { labels, value } of samples)
          if (labels.peer === OTHER_PEERS) {
            assert.ok(value >= others);
            // What was never in it does not come in at once.
            assert.ok(value - others <= totals.reduce((sum, each) => sum + each, 0));
            others = value;
          } else assert.equal(value, totals[Number(labels.peer)]);
      }
    }),
  );
});

test("what a peer has counted with a series of its own is not added when it shares one", () => {
  const series = new PeerSeries(1);
  const scrape = (...peers: readonly (readonly [string, number])[]) => {
    series.choose(peers.map(([peer]) => peer));
    return values(
      series.counter(
        "n",
        peers.map(([peer, value]) => ({ peer, value })),
      ),
    );
  };
  assert.deepEqual(scrape(["a", 1_000], ["b", 1]), { a: 1_000, [OTHER_PEERS]: 1 });
  assert.deepEqual(scrape(["b", 2]), { b: 2 });
  assert.deepEqual(scrape(["a", 1_010], ["b", 3]), { b: 3, [OTHER_PEERS]: 11 });
});
