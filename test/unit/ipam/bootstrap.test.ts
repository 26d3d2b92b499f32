import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parseLease, parseSubnet } from "#ipam/ring/subnet.js";
import { IpamNetwork } from "#test/sim/ipam-network.js";
import { allocate, CALM, claim, failsWith, RANGE, startNetwork } from "./network.js";

test("without a quorum requests wait, and report the reason and what helps", async () => {
  const network = new IpamNetwork(1, CALM);
  for (let i = 0; i < 3; i++) network.add({ mode: "consensus", quorum: () => 2 }, RANGE);
  const [a, b] = network.hosts;
  network.start(a);
  const early = a.allocator!.requests.allocate("c", parseSubnet(RANGE), { timeoutMs: 30_000 });
  early.catch(() => {});
  await network.run(10_000);
  assert.equal(a.allocator!.ring, undefined);
  assert.deepEqual(a.allocator!.election, { elector: true, known: 1, quorum: 2 });
  assert.match(a.allocator!.waiters[0].reason().why, /quorum 2, known 1 of 1 reachable peers \(for 10 s\)/);
  assert.match(a.allocator!.waiters[0].reason().next, /1 more must agree: 'weave connect'/);
  await network.run(25_000);
  await failsWith(
    early,
    "WEAVE_IPAM_WAIT",
    /allocation for c in 10\.32\.0\.0\/24: after 30 s it still waits for consensus/,
  );
  network.start(b);
  assert.equal(await allocate(network, a, "c"), "10.32.0.1/24");
  assert.equal(a.allocator!.ring!.digest, b.allocator!.ring!.digest);
});

test("of two rings that were made apart the larger one wins, and addresses in use are kept", async () => {
  const network = new IpamNetwork(3, CALM);
  for (let i = 0; i < 3; i++) network.add({ mode: "consensus", quorum: () => (i === 2 ? 1 : 2) }, RANGE);
  for (const host of network.hosts) network.start(host);
  network.partition((index) => (index === 2 ? 1 : 0));
  const [a, , c] = network.hosts;
  const here = await allocate(network, a, "a");
  const clash = await allocate(network, c, "c");
  assert.equal(here, clash);
  await claim(network, c, "d", "10.32.0.99/24");
  network.heal();
  await network.run(30_000);
  assert.equal(c.allocator!.ring!.digest, a.allocator!.ring!.digest);
  assert.deepEqual(
    c.allocator!.contested.map(({ address }) => address),
    ["10.32.0.1"],
  );
  assert.equal(a.allocator!.ring!.at(parseAddress("10.32.0.99")).value.owner, c.name);
});

test("peers with another range are reported, and of two ranges that overlap one is blocked", async () => {
  const network = startNetwork(2);
  const [a] = network.hosts;
  await allocate(network, a, "first");
  const other = network.add({ mode: "consensus", quorum: () => 1 }, "10.32.0.0/16");
  network.start(other);
  await network.run(10_000);
  const words = /launched with --ipalloc-range 10\.32\.0\.0\/24, this one with 10\.32\.0\.0\/16/;
  await failsWith(allocate(network, other, "x"), "WEAVE_IPAM_RANGE", words);
  assert.match(
    a.allocator!.otherRanges[0].why,
    /launched with --ipalloc-range 10\.32\.0\.0\/16, this one with 10\.32\.0\.0\/24$/,
  );
  await allocate(network, a, "still-works");
});

test("a peer that lost its disk allocates nothing that it had given away, although its request comes before the ring", async () => {
  const network = startNetwork(4, "10.32.0.0/28");
  const [first] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "first");
  const share = ["10.32.0.4/28", "10.32.0.5/28", "10.32.0.6/28", "10.32.0.7/28"];
  const ownerAt = (lease: string) => first.allocator!.ring!.at(parseLease(lease).address).value.owner;
  const lost = network.hosts.find(({ name }) => name === ownerAt(share[0]))!;
  const [via, holder] = network.hosts.filter((host) => host !== lost);
  lost.allocator!.requests.freeAll("first");
  // The ring shows only the last owners, which do not follow from the first division.
  for (const host of [via, holder]) {
    for (const lease of share) await claim(network, host, `c${host.index}`, lease);
    if (host === via) via.allocator!.requests.freeAll(`c${via.index}`);
  }
  await network.run(5_000);
  for (const lease of share) assert.equal(ownerAt(lease), holder.name);
  network.kill(lost);
  lost.disk.contents = new Map();
  await network.run(1_000);
  network.start(lost);
  const address = await allocate(network, lost, "second");
  assert.ok(!share.includes(address), `${address} is held by another host`);
});
