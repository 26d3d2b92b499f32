import assert from "node:assert/strict";
import { test } from "node:test";
import { explainAddress, explainPeer } from "#ipam/explain.js";
import { parseAddress, parseLease } from "#ipam/ring/subnet.js";
import { allocate, claim, failsWith, settle, startNetwork } from "./network.js";

test("a reachable peer is not removed", async () => {
  const network = startNetwork(2);
  const [a] = network.hosts;
  await allocate(network, a, "first");
  await network.run(2_000);
  await failsWith(
    (async () => a.allocator!.removePeer("h1"))(),
    "WEAVE_IPAM_PEER_ALIVE",
    /\(h1\) is reachable, and not dead\nRun 'weave reset' on that host/,
  );
});

test("of several takeovers of one peer a single one is settled; the removed peer gives up its addresses when it returns", async () => {
  const network = startNetwork(4);
  const [a, b, c, d] = network.hosts;
  await allocate(network, a, "first");
  await network.run(2_000);
  network.kill(d);
  const results = [a, b, c].map(({ allocator }) => allocator!.removePeer("h3"));
  assert.deepEqual(
    results.map(({ count }) => count),
    [64n, 64n, 64n],
  );
  assert.ok(a.allocator!.takeover !== undefined);
  await settle(network, Promise.all(results.map(({ agreed }) => agreed)));
  const owners = new Set(
    [a, b, c].map(({ allocator }) => allocator!.ring!.at(parseAddress("10.32.0.250")).value.owner),
  );
  assert.equal(owners.size, 1);
  assert.equal(a.allocator!.ring!.ownedBy(d.name).length, 0);
  for (const who of ["h3", d.name, "unknown", a.name]) assert.equal(a.allocator!.removePeer(who).count, 0n);
  network.start(d);
  await network.run(10_000);
  assert.equal(d.allocator!.ring!.digest, a.allocator!.ring!.digest);
  assert.deepEqual(d.allocator!.ring!.ownedBy(d.name), []);
});

test("a peer that was removed by mistake while it ran gets its addresses back; one in use at both is reported", async () => {
  const network = startNetwork(3);
  const [a, b, c] = network.hosts;
  await allocate(network, a, "first");
  const mine = await allocate(network, c, "mine");
  const other = await allocate(network, c, "other");
  network.partition((index) => (index === 2 ? 1 : 0));
  await network.run(1_000);
  await settle(network, a.allocator!.removePeer(c.name).agreed);
  assert.match(
    explainAddress(a.allocator!, parseLease(mine).address).join("\n"),
    /owned by .*\(h0\) since .*, epoch 1.*\ntaken over from .*\(h2\)/,
  );
  // One of the two goes to another container meanwhile.
  await claim(network, a, "thief", other);
  network.heal();
  await network.run(40_000);
  assert.equal(b.allocator!.ring!.at(parseLease(mine).address).value.owner, c.name);
  assert.deepEqual(
    a.allocator!.contested.map(({ address }) => `${address}/24`),
    [other],
  );
  assert.match(a.allocator!.contested[0].why, new RegExp(`is held by other at ${c.name}\\(h2\\) too`));
  assert.match(explainPeer(a.allocator!, a.name)[0], /\(h0\) owns \d+ IPs/);
});

test("reset transfers all addresses to a reachable peer, and rejects requests from then on", async () => {
  const network = startNetwork(2);
  const [a, b] = network.hosts;
  await allocate(network, a, "first");
  a.allocator!.requests.freeAll("first");
  assert.equal(a.allocator!.leave(), b.name);
  await network.run(1_000);
  assert.equal(b.allocator!.ring!.ownedBy(b.name).length, 2);
  await failsWith(allocate(network, a, "c"), "WEAVE_CANCELLED", /has left the network/);
  assert.equal(b.allocator!.space.freeIn(b.allocator!.range), 256n);
});
