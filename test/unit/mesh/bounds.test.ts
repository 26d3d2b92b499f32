import assert from "node:assert/strict";
import { test } from "node:test";
import { FairSlots } from "#mesh/connection/fair-slots.js";
import { MAX_COUNT, meshTime, successor } from "#mesh/counter.js";
import { Refusal, Refusals } from "#mesh/refusals.js";
import { seededRandom } from "#test/sim/virtual-time.js";

test("successors stay within the range that the shapes accept", () => {
  assert.equal(successor(1), 2);
  assert.equal(successor(MAX_COUNT), MAX_COUNT);
  assert.equal(successor(Number.MAX_SAFE_INTEGER), MAX_COUNT);
});

test("the network's time is ours, or the neighbours' where ours is behind; fewer than half of them cannot advance it", () => {
  assert.equal(meshTime(100, []), 100);
  assert.equal(meshTime(100, [50]), 100);
  assert.equal(meshTime(100, [500]), 500);
  assert.equal(meshTime(100, [200, 9e9]), 200);
  assert.equal(meshTime(100, [9e9, 200, 210, 9e9, 220]), 220);
});

test("slots: a source that floods displaces itself; of many sources one is displaced at random", () => {
  const random = seededRandom(3);
  const slots = new FairSlots<string>(random, { total: 20, each: 8 });
  slots.add("honest", "h");
  let displaced = 0;
  for (let i = 0; i < 1_000; i++) {
    const dropped = slots.add(`10.0.0.${i % 3}`, `x${i}`);
    assert.notEqual(dropped, "h");
    if (dropped !== undefined) displaced++;
  }
  assert.equal(slots.size, 20);
  assert.equal(displaced, 1_000 - 19);
  assert.equal([...slots].filter((item) => item === "h").length, 1);
  slots.delete("honest", "h");
  slots.delete("honest", "h");
  assert.equal(slots.size, 19);
  const alone = new FairSlots<number>(random, { total: 100, each: 8 });
  for (let i = 0; i < 50; i++) alone.add("one", i);
  assert.equal(alone.size, 8);
});

test("refusals are few, counted by host and reason, and dropped after a quarter of an hour or when the peer is admitted", () => {
  const refusals = new Refusals();
  const wrong = new Refusal("password", "the passwords differ");
  for (let i = 0; i < 3; i++) refusals.note(`10.0.0.1:${i + 1}`, wrong, i);
  assert.deepEqual(refusals.list(10), [
    { address: "10.0.0.1:3", reason: "password", text: "the passwords differ", count: 3, at: 2 },
  ]);
  refusals.clear("10.0.0.1");
  assert.deepEqual(refusals.list(10), []);
  for (let i = 0; i < 1_000; i++) refusals.note(`10.0.${i >> 8}.${i & 255}:1`, wrong, i);
  assert.equal(refusals.list(1_000).length, 32);
  assert.equal(refusals.counts.password, 1_003);
  assert.deepEqual(refusals.list(1_000_000 + 15 * 60_000), []);
});
