import assert from "node:assert/strict";
import { test } from "node:test";
import { HostilePeer } from "#test/sim/hostile-peer.js";
import { Network } from "#test/sim/network.js";

/** Bytes that a hub sends to its three other neighbours when one neighbour broadcasts a payload in the name of another. */
async function relayedBytes(payloadBytes: number): Promise<number> {
  const network = new Network(41);
  const [hub, ...leaves] = [0, 1, 2, 3].map((i) => network.start(i, { discovery: false }));
  for (const leaf of leaves) network.connect(leaf, hub);
  const hostile = new HostilePeer(network, 1);
  hostile.join(hub);
  await network.clock.run(35_000);
  assert.equal(hostile.open, 1);
  const before = network.bytes;
  const from = leaves[0].name;
  hostile.send({ kind: "broadcast", channel: "x", from, hops: 8, payload: new Uint8Array(payloadBytes) });
  await network.clock.run(100);
  assert.equal(hostile.open, 1, "data has ended a session");
  return network.bytes - before - payloadBytes;
}

test("a broadcast is passed on to all other neighbours, and one that would fill their sockets' buffers to none", async () => {
  assert.ok((await relayedBytes(60_000)) >= 2 * 60_000);
  assert.ok((await relayedBytes(5_000_000)) < 100_000);
});
