import assert from "node:assert/strict";
import { test } from "node:test";
import { leaseText, parseAddress, parseLease, parseSubnet } from "#ipam/ring/subnet.js";
import { WeaveError } from "#src/errors.js";
import { IpamNetwork, type SimHost } from "#test/sim/ipam-network.js";
import { allocate, CALM, CONTAINER, claim, failsWith, RANGE, settle, startNetwork } from "./network.js";

test("a holder gets the lowest free address, and the same one again", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  assert.equal(await allocate(network, host, "a"), "10.32.0.1/24");
  assert.equal(await allocate(network, host, "b"), "10.32.0.2/24");
  assert.equal(await allocate(network, host, "a"), "10.32.0.1/24");
  host.allocator!.requests.free("a", parseAddress("10.32.0.1"));
  assert.equal(await allocate(network, host, "c"), "10.32.0.1/24");
  assert.deepEqual(host.allocator!.requests.lookup("b", parseSubnet(RANGE)).map(leaseText), ["10.32.0.2/24"]);
});

test("a lease has the prefix of the requested subnet, without its first and last address", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await allocate(network, host, "a");
  assert.equal(await allocate(network, host, "a", "10.32.0.128/25"), "10.32.0.129/25");
  assert.equal(await allocate(network, host, "d", "10.32.0.64/30"), "10.32.0.65/30");
  assert.equal(await allocate(network, host, "e", "10.32.0.64/30"), "10.32.0.66/30");
  await failsWith(
    allocate(network, host, "f", "172.16.0.0/16"),
    "WEAVE_IPAM_RANGE",
    /range 172\.16\.0\.0\/16 out of bounds: 10\.32\.0\.0\/24/,
  );
});

test("a peer without space gets half of another's", async () => {
  const network = startNetwork(2, "10.32.0.0/28");
  const [a, b] = network.hosts;
  await allocate(network, a, "first");
  const all = new Set<string>();
  for (let i = 0; i < 13; i++) all.add(await allocate(network, i % 2 ? a : b, `c${i}`));
  assert.equal(all.size, 13);
  await failsWith(
    settle(network, a.allocator!.requests.allocate("more", parseSubnet("10.32.0.0/28"), { timeoutMs: 10_000 })),
    "WEAVE_IPAM_WAIT",
    /an address to become free in 10\.32\.0\.1-10\.32\.0\.14: 1 peer has none to donate/,
  );
  // One that becomes free elsewhere goes to the blocked request.
  const waiting = a.allocator!.requests.allocate("more", parseSubnet("10.32.0.0/28"));
  await network.run(5_000);
  b.allocator!.requests.freeAll("c2");
  await settle(network, waiting);
});

test("avoided addresses are allocated and donated last", async () => {
  const network = startNetwork(2, "10.32.0.0/28");
  const [a, b] = network.hosts;
  await allocate(network, a, "first");
  const avoid = [2, 3, 4].map((octet) => parseAddress(`10.32.0.${octet}`));
  a.allocator!.requests.avoid(new Set(avoid));
  const last = (lease: string) => Number(/\.(\d+)\//.exec(lease)![1]);
  const others: number[] = [];
  for (let i = 0; i < 10; i++) others.push(last(await allocate(network, i % 2 === 0 ? a : b, `other${i}`)));
  assert.deepEqual(
    others.filter((octet) => octet >= 2 && octet <= 4),
    [],
    `${others}`,
  );
  const rest = [];
  for (const name of ["x", "y", "z"]) rest.push(last(await allocate(network, a, name)));
  assert.deepEqual(rest.sort(), [2, 3, 4]);
  // An address that is not avoided any more is like any other; a claimed one is given immediately.
  a.allocator!.requests.free("x", parseAddress("10.32.0.2"));
  a.allocator!.requests.avoid(new Set());
  assert.equal(last(await allocate(network, a, "again")), 2);
  a.allocator!.requests.avoid(new Set(avoid));
  a.allocator!.requests.freeAll("y");
  await claim(network, b, "claimer", "10.32.0.3/28");
});

test("a wait ends when its client goes, and when its container dies", async () => {
  const network = new IpamNetwork(1, CALM);
  const host = network.add({ mode: "consensus", quorum: () => 2 });
  const allocator = network.start(host);
  const gone = new AbortController();
  const [first, second] = [
    allocator.requests.allocate("a", parseSubnet(RANGE), { signal: gone.signal }),
    allocator.requests.allocate("b", parseSubnet(RANGE), CONTAINER),
  ];
  gone.abort();
  await failsWith(first, "WEAVE_CANCELLED", /a: cancelled/);
  allocator.requests.scheduleRelease("b");
  await failsWith(second, "WEAVE_CANCELLED", /the container died/);
  assert.equal(allocator.waiters.length, 0);
});

test("a disk that fails changes nothing", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await allocate(network, host, "a");
  const before = structuredClone(host.disk.contents);
  host.disk.full = true;
  await assert.rejects(allocate(network, host, "b"), /the disk is full/);
  assert.throws(() => host.allocator!.requests.freeAll("a"), /the disk is full/);
  await network.run(5_000);
  host.disk.full = false;
  assert.deepEqual(host.disk.contents, before);
  assert.equal(await allocate(network, host, "b"), "10.32.0.2/24");
});

test("damaged stored state is rejected by name; that of another range is ignored", async () => {
  const network = startNetwork(1);
  const [host] = network.hosts;
  await allocate(network, host, "a");
  network.kill(host);
  host.disk.contents.set("ipam/held/b", { container: true, leases: ["nonsense"] });
  assert.throws(() => network.start(host), /the database holds a damaged 'ipam\/held\/b'/);
  host.disk.contents.delete("ipam/held/b");
  host.range = "10.40.0.0/24";
  network.start(host);
  assert.equal(host.allocator!.ring, undefined);
  assert.equal(await allocate(network, host, "c"), "10.40.0.1/24");
});

test("10,000 random operations of five peers agree with a model, and no address has two holders", async () => {
  const network = startNetwork(5, "10.32.0.0/22");
  const { random, hosts } = network;
  await allocate(network, hosts[0], "prime");
  hosts[0].allocator!.requests.freeAll("prime");
  const held = new Map<string, { host: SimHost; ident: string }>();
  const owners: string[] = [];
  for (let step = 0; step < 10_000; step++) {
    const point = random.below(100);
    const host = hosts[random.below(5)];
    const address = owners[random.below(owners.length)];
    if (point < 45 && owners.length < 900) {
      const got = await allocate(network, host, `c${step}`, "10.32.0.0/22");
      assert.ok(!held.has(got), `${got} is held twice`);
      held.set(got, { host, ident: `c${step}` });
      owners.push(got);
    } else if (address === undefined) {
      // Nothing is held yet.
    } else if (point < 85) {
      const holder = held.get(address)!;
      holder.host.allocator!.requests.free(holder.ident, parseLease(address).address);
      held.delete(address);
      owners.splice(owners.indexOf(address), 1);
    } else if (point < 95) {
      const holder = held.get(address)!;
      assert.equal(await allocate(network, holder.host, holder.ident, "10.32.0.0/22"), address);
    } else {
      await assert.rejects(claim(network, host, `x${step}`, address), WeaveError);
    }
  }
  assert.ok(held.size > 50);
});
