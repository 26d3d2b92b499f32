import assert from "node:assert/strict";
import { test } from "node:test";
import { GossipTraffic, RELAYED_CHANNELS } from "#mesh/gossip-traffic.js";

const from = "02:00:00:00:00:01";
const gossip = (channel: string) => ({ kind: "gossip", channel, from, payload: new Uint8Array(1) }) as const;

test("messages are counted by channel and direction; channels that are only relayed are one", () => {
  const traffic = new GossipTraffic();
  traffic.use("names");
  traffic.sent(gossip("names"), 100);
  traffic.sent(gossip("names"), 50);
  traffic.received({ kind: "branch", channel: "names", grown: true }, 7);
  for (let other = 0; other < 1_000; other++) traffic.received(gossip(`invented ${other}`), 10);
  traffic.sent({ kind: "heartbeat" }, 9);
  traffic.use("names");
  assert.deepEqual(traffic.list(), [
    { channel: "names", sent: { messages: 2, bytes: 150 }, received: { messages: 1, bytes: 7 } },
    { channel: RELAYED_CHANNELS, sent: { messages: 0, bytes: 0 }, received: { messages: 1_000, bytes: 10_000 } },
  ]);
});
