import assert from "node:assert/strict";
import { test } from "node:test";
import { explainAddress } from "#ipam/explain.js";
import { parseAddress, parseLease, parseSubnet } from "#ipam/ring/subnet.js";
import { ENDED_CONTAINER_GRACE_MS } from "#src/container-lifecycle.js";
import { IpamNetwork } from "#test/sim/ipam-network.js";
import { allocate, CALM, claim, failsWith, RANGE, settle, startNetwork } from "./network.js";

test("an ended container keeps its address for 30 s", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await allocate(network, host, "a");
  host.allocator!.requests.scheduleRelease("a");
  const explained = explainAddress(host.allocator!, parseAddress("10.32.0.1")).join("\n");
  assert.equal(ENDED_CONTAINER_GRACE_MS, 30_000);
  assert.match(explained, /held on this host by a as 10\.32\.0\.1\/24, which has ended: it is free again within 30 s/);
  await network.run(20_000);
  assert.equal(await allocate(network, host, "c"), "10.32.0.2/24");
  await network.run(15_000);
  assert.equal(await allocate(network, host, "d"), "10.32.0.1/24");
});

test("a container that starts again within 30 s keeps its address", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await allocate(network, host, "b");
  host.allocator!.requests.scheduleRelease("b");
  await network.run(20_000);
  host.allocator!.requests.cancelRelease("b");
  await network.run(15_000);
  assert.ok(host.allocator!.leases.get("b") !== undefined);
});

test("a holder that is no container does not die", async () => {
  const network = startNetwork(1);
  const { requests, leases } = network.hosts[0].allocator!;
  await settle(network, requests.allocate("weave:expose", parseSubnet(RANGE)));
  requests.scheduleRelease("weave:expose");
  await network.run(35_000);
  assert.ok(leases.get("weave:expose") !== undefined);
});

test("the address of an ended container can be claimed immediately", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await allocate(network, host, "b");
  host.allocator!.requests.scheduleRelease("b");
  await claim(network, host, "b2", "10.32.0.1/24");
});

test("addresses of an ended container are kept until it is known that no interface has them", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  const { requests, leases } = host.allocator!;
  await allocate(network, host, "a");
  requests.deferRelease("a");
  const claimed = claim(network, host, "c", "10.32.0.1/24");
  await network.run(60_000);
  assert.equal(
    leases.holderOf(parseAddress("10.32.0.1"))?.ident,
    "a",
    "neither reassigned nor free, however long it takes",
  );
  assert.equal(requests.holderOf(parseAddress("10.32.0.1")), "a");
  const explained = explainAddress(host.allocator!, parseAddress("10.32.0.1")).join("\n");
  assert.match(explained, /held on this host by a as .*, which has ended: it is kept until no interface has it/);
  assert.throws(() => requests.found("c", parseLease("10.32.0.1/24"), true), /already owned by a/);
  requests.scheduleRelease("a");
  await claimed;
});

test("an ended container whose addresses are still in use keeps them, and the 30 s begin when they are not", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  const { requests, leases } = host.allocator!;
  await allocate(network, host, "b");
  requests.deferRelease("b");
  await network.run(60_000);
  const claimed = claim(network, host, "d", "10.32.0.1/24");
  requests.cancelRelease("b");
  await failsWith(claimed, "WEAVE_IPAM_IN_USE", /10\.32\.0\.1 is already owned by b/);
  requests.deferRelease("b");
  requests.scheduleRelease("b");
  await network.run(25_000);
  assert.ok(leases.get("b") !== undefined);
  await network.run(6_000);
  assert.equal(leases.get("b"), undefined);
});

test("where two networks become one, containers keep addresses of peers that have never seen the other division", async () => {
  const network = new IpamNetwork(1, CALM);
  for (let i = 0; i < 6; i++) network.add({ mode: "consensus", quorum: () => 2 }, RANGE);
  network.partition((index) => (index < 4 ? 0 : 1));
  for (const host of network.hosts) network.start(host);
  for (const host of network.hosts) await allocate(network, host, `c${host.index}`);
  const free = [20, 80, 150, 220].map((last) => `10.32.0.${last}/24`);
  const [, , , , a, b] = network.hosts;
  for (const [i, cidr] of free.entries()) await claim(network, i % 2 === 0 ? a : b, `d${i}`, cidr);
  const { id } = network.hosts[0].allocator!.ring!;
  assert.notEqual(a.allocator!.ring!.id, id);
  // The last one of the winning side finds the losing one joined already.
  network.partition((index) => (index === 3 ? 1 : 0));
  await network.run(30_000);
  assert.equal(a.allocator!.ring!.id, id);
  network.heal();
  await network.run(60_000);
  for (const { allocator } of network.hosts) {
    assert.equal(allocator!.ring!.id, id);
    assert.deepEqual(
      allocator!.rejections.harmful.filter(({ count }) => count > 0),
      [],
    );
  }
  for (const [i, cidr] of free.entries()) {
    const host = i % 2 === 0 ? a : b;
    assert.equal(host.allocator!.ring!.at(parseLease(cidr).address).value.owner, host.name, cidr);
  }
});
