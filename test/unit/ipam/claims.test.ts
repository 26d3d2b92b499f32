import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "#ipam/ring/subnet.js";
import { allocate, claim, failsWith, startNetwork } from "./network.js";

test("a free address can be claimed, again by its holder too; one in use is rejected", async () => {
  const network = startNetwork(2);
  const [a, b] = network.hosts;
  await allocate(network, a, "first");
  await claim(network, a, "x", "10.32.0.9/24");
  await claim(network, a, "x", "10.32.0.9/24");
  await failsWith(
    claim(network, a, "y", "10.32.0.9/24"),
    "WEAVE_IPAM_IN_USE",
    /address 10\.32\.0\.9 is already owned by x/,
  );
  await failsWith(
    claim(network, b, "y", "10.32.0.9/24"),
    "WEAVE_IPAM_IN_USE",
    /address 10\.32\.0\.9 is owned by other peer .* \(h0\)/,
  );
  await failsWith(claim(network, a, "has space", "10.32.0.30/24"), "WEAVE_IPAM", /invalid container id/);
});

test("a free address of another peer is donated alone", async () => {
  const network = startNetwork(2);
  const [a, b] = network.hosts;
  await allocate(network, a, "first");
  await claim(network, a, "z", "10.32.0.200/24");
  assert.equal(b.allocator!.ring!.at(parseAddress("10.32.0.200")).value.owner, a.name);
  assert.equal(b.allocator!.ring!.at(parseAddress("10.32.0.201")).value.owner, b.name);
});

test("a claim of an unreachable peer's address fails with the command that helps", async () => {
  const network = startNetwork(2);
  const [a, b] = network.hosts;
  await allocate(network, a, "first");
  network.kill(b);
  await failsWith(
    claim(network, a, "v", "10.32.0.201/24"),
    "WEAVE_IPAM_PEER_UNREACHABLE",
    /owned by other peer .* - it is not reachable\nIf .*'weave rmpeer/,
  );
});

test("network and broadcast addresses are rejected; outside the range only broadcast", async () => {
  const network = startNetwork(2);
  const [a] = network.hosts;
  await allocate(network, a, "first");
  await failsWith(
    claim(network, a, "y", "10.32.0.0/24"),
    "WEAVE_IPAM",
    /is the network's own address of 10\.32\.0\.0\/24/,
  );
  await failsWith(claim(network, a, "y", "10.32.0.255/24"), "WEAVE_IPAM", /is the broadcast address/);
  // Outside the range the user decides about a prefix's first address; a packet to its last one reaches all hosts.
  await claim(network, a, "y", "192.168.8.0/24");
  await failsWith(claim(network, a, "y", "192.168.8.255/24"), "WEAVE_IPAM", /is the broadcast address/);
});

test("an address outside the range is recorded, for one holder", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await claim(network, host, "y", "192.168.7.7/24");
  await failsWith(claim(network, host, "w", "192.168.7.7/24"), "WEAVE_IPAM_IN_USE", /already owned by y/);
});

test("an anonymous claim is recorded under its address", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await claim(network, host, "x", "10.32.0.9/24");
  await claim(network, host, "_", "10.32.0.20/24");
  await claim(network, host, "_", "10.32.0.20/24");
  assert.equal(host.allocator!.leases.holderOf(parseAddress("10.32.0.20"))?.ident, "10.32.0.20");
  await failsWith(
    claim(network, host, "q", "10.32.0.20/24"),
    "WEAVE_IPAM_IN_USE",
    /address 10\.32\.0\.20 already in use/,
  );
  await failsWith(
    claim(network, host, "_", "10.32.0.9/24"),
    "WEAVE_IPAM_IN_USE",
    /address 10\.32\.0\.9 is already owned by x/,
  );
});
