import assert from "node:assert/strict";
import { test } from "node:test";
import { MeasuredPeers } from "#router/carriers/measured-peers.js";
import type { SessionCounts } from "#router/carriers/peer-session.js";

const counts = (each: number): SessionCounts => ({
  carrierChanges: each,
  rekeys: each,
  sentExpected: each,
  sentArrived: each,
  receivedExpected: each,
  receivedArrived: each,
});
const session = (peer: string, each: number, carrier = "sleeve") => ({
  peer,
  figures: () => ({ carrier, carriers: ["sleeve", "stream"], roundTripMs: 4, counts: counts(each) }),
});

test("the counts of a neighbour go on when its connection ends and another one follows", () => {
  const measured = new MeasuredPeers();
  assert.deepEqual(measured.figures([session("a", 3)]).get("a")?.counts, counts(3));
  measured.ended(session("a", 5));
  const away = measured.figures([]).get("a");
  assert.deepEqual(away, { carrier: undefined, carriers: [], roundTripMs: undefined, counts: counts(5) });
  const back = measured.figures([session("a", 2, "stream")]).get("a");
  assert.deepEqual([back?.carrier, back?.roundTripMs, back?.counts], ["stream", 4, counts(7)]);
  measured.ended(session("a", 2));
  assert.deepEqual(measured.figures([]).get("a")?.counts, counts(7));
});

test("two sessions of one neighbour, while one replaces the other, are one neighbour", () => {
  const figures = new MeasuredPeers().figures([session("a", 1), session("a", 2)]);
  assert.deepEqual([...figures.keys()], ["a"]);
  assert.deepEqual(figures.get("a")?.counts, counts(3));
});

test("peers with ever new names do not fill the memory", () => {
  const measured = new MeasuredPeers();
  for (let peer = 0; peer < 3_000; peer++) measured.ended(session(String(peer), 1));
  const kept = [...measured.figures([]).keys()];
  assert.equal(kept.length, 1_024);
  assert.equal(kept.at(-1), "2999");
});
