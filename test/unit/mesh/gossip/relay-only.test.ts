import assert from "node:assert/strict";
import { test } from "node:test";
import { relayOnlyGossiper } from "#mesh/gossip.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

test("a payload of a channel that a peer does not use is passed on once, and a very long one not at all", () => {
  const gossiper = relayOnlyGossiper(new VirtualClock());
  const from = "02:00:00:00:00:01";
  const payload = new Uint8Array(65_536).fill(1);
  assert.equal(gossiper.onGossip(from, payload, from), payload);
  assert.equal(gossiper.onGossip(from, payload, from), undefined);
  assert.equal(gossiper.onGossip(from, new Uint8Array(65_537), from), undefined);
});
