import assert from "node:assert/strict";
import { test } from "node:test";
import { FRESH_MS, RoundTrip } from "#router/carriers/sleeve/round-trip.js";

test("the first answer gives the round trip, and each further one an eighth of the difference", () => {
  const trip = new RoundTrip();
  assert.equal(trip.smoothedMs(0), undefined);
  trip.sent(1, 1_000);
  trip.answered(1, 1_040);
  assert.equal(trip.smoothedMs(1_040), 40);
  trip.sent(2, 2_000);
  trip.answered(2, 2_120);
  assert.equal(trip.smoothedMs(2_120), 50);
});

test("second answers and answers to unknown pings count for nothing, and a lost path has no round trip", () => {
  const trip = new RoundTrip();
  trip.answered(9, 5);
  trip.sent(1, 0);
  trip.answered(1, 10);
  trip.answered(1, 9_000);
  assert.equal(trip.smoothedMs(9_000), 10);
  trip.sent(2, 0);
  trip.forget();
  trip.answered(2, 50);
  assert.equal(trip.smoothedMs(50), undefined);
});

test("of many pings without an answer the last sixteen are remembered", () => {
  const trip = new RoundTrip();
  for (let id = 0; id < 40; id++) trip.sent(id, id);
  trip.answered(23, 100);
  assert.equal(trip.smoothedMs(100), undefined);
  trip.answered(24, 100);
  assert.equal(trip.smoothedMs(100), 76);
});

test("an old answer gives no round trip, and the next one starts without it", () => {
  const trip = new RoundTrip();
  trip.sent(1, 0);
  trip.answered(1, 10);
  assert.equal(trip.smoothedMs(10 + FRESH_MS - 1), 10);
  assert.equal(trip.smoothedMs(10 + FRESH_MS), undefined);
  trip.sent(2, 100_000);
  trip.answered(2, 100_500);
  assert.equal(trip.smoothedMs(100_500), 500);
});
