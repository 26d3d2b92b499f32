import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod/mini";
import { explainAddress, explainPeer } from "#ipam/explain.js";
import { leaseText, parseAddress, parseLease, parseSubnet } from "#ipam/ring/subnet.js";
import { decode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";
import { IpamNetwork, type SimHost } from "#test/sim/ipam-network.js";

const CALM = { lost: 0, doubled: 0, delay: 2 };
const RANGE = "10.32.0.0/24";
const C = { container: true };

/** A network of so many peers; a majority must agree on the first ring. */
function make(peers: number, range = RANGE): IpamNetwork {
  const network = new IpamNetwork(1, CALM);
  for (let i = 0; i < peers; i++) network.add({ mode: "consensus", quorum: () => (peers >> 1) + 1 }, range);
  for (const host of network.hosts) network.start(host);
  return network;
}

/** Lets time pass until a promise is settled. */
async function settle<T>(network: IpamNetwork, promise: Promise<T>, ms = 60_000): Promise<T> {
  const state = { done: false };
  const watched = promise.finally(() => {
    state.done = true;
  });
  watched.catch(() => {});
  for (let passed = 0; !state.done && passed < ms; passed += 100) await network.run(100);
  assert.ok(state.done, "it waits longer than the test does");
  return watched;
}

const get = async (network: IpamNetwork, host: SimHost, ident: string, subnet = host.range): Promise<string> =>
  leaseText(await settle(network, host.allocator!.requests.allocate(ident, parseSubnet(subnet), C)));
const put = (network: IpamNetwork, host: SimHost, ident: string, cidr: string): Promise<void> =>
  settle(network, host.allocator!.requests.claim(ident, parseLease(cidr), C));

function failsWith(promise: Promise<unknown>, code: string, words: RegExp): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof WeaveError, String(error));
    assert.equal(error.code, code);
    assert.match(error.text, words);
    return true;
  });
}

test("the lowest free address, the same again for the same holder, and the prefix of the subnet asked for", async () => {
  const network = make(1);
  const [host] = network.hosts;
  assert.equal(await get(network, host, "a"), "10.32.0.1/24");
  assert.equal(await get(network, host, "b"), "10.32.0.2/24");
  assert.equal(await get(network, host, "a"), "10.32.0.1/24");
  assert.equal(await get(network, host, "a", "10.32.0.128/25"), "10.32.0.129/25");
  host.allocator!.requests.free("a", parseAddress("10.32.0.1"));
  assert.equal(await get(network, host, "c"), "10.32.0.1/24");
  assert.deepEqual(host.allocator!.requests.lookup("b", parseSubnet(RANGE)).map(leaseText), ["10.32.0.2/24"]);
  // The subnet's own first and last address are not handed out; those of the ring's parts are.
  assert.equal(await get(network, host, "d", "10.32.0.64/30"), "10.32.0.65/30");
  assert.equal(await get(network, host, "e", "10.32.0.64/30"), "10.32.0.66/30");
});

test("nothing is handed out before a quorum agrees; who waits is told why, and what ends it", async () => {
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
  assert.equal(await get(network, a, "c"), "10.32.0.1/24");
  assert.equal(a.allocator!.ring!.digest, b.allocator!.ring!.digest);
});

test("what one peer lacks another gives: half of its space, the upper half", async () => {
  const network = make(2, "10.32.0.0/28");
  const [a, b] = network.hosts;
  await get(network, a, "first");
  const all = new Set<string>();
  for (let i = 0; i < 13; i++) all.add(await get(network, i % 2 ? a : b, `c${i}`));
  assert.equal(all.size, 13);
  await failsWith(
    settle(network, a.allocator!.requests.allocate("more", parseSubnet("10.32.0.0/28"), { timeoutMs: 10_000 })),
    "WEAVE_IPAM_WAIT",
    /an address to become free in 10\.32\.0\.1-10\.32\.0\.14: 1 peers have none to give/,
  );
  // One that becomes free elsewhere goes to whoever waits.
  const waiting = a.allocator!.requests.allocate("more", parseSubnet("10.32.0.0/28"));
  await network.run(5_000);
  b.allocator!.requests.freeAll("c2");
  await settle(network, waiting);
});

test("claims: free, own, another's, in use, network and broadcast address, outside the range", async () => {
  const network = make(2);
  const [a, b] = network.hosts;
  await get(network, a, "first");
  await put(network, a, "x", "10.32.0.9/24");
  await put(network, a, "x", "10.32.0.9/24");
  await failsWith(
    put(network, a, "y", "10.32.0.9/24"),
    "WEAVE_IPAM_IN_USE",
    /address 10\.32\.0\.9 is already owned by x/,
  );
  await failsWith(
    put(network, b, "y", "10.32.0.9/24"),
    "WEAVE_IPAM_IN_USE",
    /address 10\.32\.0\.9 is owned by other peer .* \(h0\)/,
  );
  // A free one of another peer moves over, alone.
  await put(network, a, "z", "10.32.0.200/24");
  assert.equal(b.allocator!.ring!.at(parseAddress("10.32.0.200")).value.owner, a.name);
  assert.equal(b.allocator!.ring!.at(parseAddress("10.32.0.201")).value.owner, b.name);
  await failsWith(
    put(network, a, "y", "10.32.0.0/24"),
    "WEAVE_IPAM",
    /is the network's own address of 10\.32\.0\.0\/24/,
  );
  await failsWith(put(network, a, "y", "10.32.0.255/24"), "WEAVE_IPAM", /is the broadcast address/);
  // Outside the range a prefix's first address is the user's to give; its last would reach everybody.
  await put(network, a, "y", "192.168.8.0/24");
  await failsWith(put(network, a, "y", "192.168.8.255/24"), "WEAVE_IPAM", /is the broadcast address/);
  await put(network, a, "y", "192.168.7.7/24");
  await failsWith(put(network, a, "w", "192.168.7.7/24"), "WEAVE_IPAM_IN_USE", /already owned by y/);
  await put(network, a, "_", "10.32.0.20/24");
  await put(network, a, "_", "10.32.0.20/24");
  assert.equal(a.allocator!.leases.holderOf(parseAddress("10.32.0.20"))?.ident, "10.32.0.20");
  await failsWith(put(network, a, "q", "10.32.0.20/24"), "WEAVE_IPAM_IN_USE", /address 10\.32\.0\.20 already in use/);
  await failsWith(
    put(network, a, "_", "10.32.0.9/24"),
    "WEAVE_IPAM_IN_USE",
    /address 10\.32\.0\.9 is already owned by x/,
  );
  await failsWith(
    get(network, a, "q", "172.16.0.0/16"),
    "WEAVE_IPAM_RANGE",
    /range 172\.16\.0\.0\/16 out of bounds: 10\.32\.0\.0\/24/,
  );
  await failsWith(put(network, a, "has space", "10.32.0.30/24"), "WEAVE_IPAM", /invalid container id/);
  network.kill(b);
  await failsWith(
    put(network, a, "v", "10.32.0.201/24"),
    "WEAVE_IPAM_PEER_UNREACHABLE",
    /owned by other peer .* - it is not reachable\nIf .*'weave rmpeer/,
  );
});

test("a dead container keeps its address for 30 s; a start or a claim brings it back; what it waited for ends", async () => {
  const network = make(1);
  const [host] = network.hosts;
  const allocator = host.allocator!;
  await get(network, host, "a");
  await get(network, host, "b");
  await settle(network, allocator.requests.allocate("weave:expose", parseSubnet(RANGE)));
  for (const ident of ["a", "b", "weave:expose"]) allocator.requests.died(ident);
  await network.run(20_000);
  allocator.requests.alive("b");
  assert.equal(await get(network, host, "c"), "10.32.0.4/24");
  await network.run(15_000);
  assert.equal(await get(network, host, "d"), "10.32.0.1/24");
  assert.ok(allocator.leases.get("b") !== undefined);
  // What is no container does not die.
  assert.ok(allocator.leases.get("weave:expose") !== undefined);
  // Its successor may claim the address of a dead one at once.
  allocator.requests.died("b");
  await put(network, host, "b2", "10.32.0.2/24");
});

test("what has ended is nobody's before it is known that no interface has its addresses", async () => {
  const network = make(1);
  const [host] = network.hosts;
  const { requests, leases } = host.allocator!;
  await get(network, host, "a");
  await get(network, host, "b");
  requests.ended("a");
  requests.ended("b");
  const claimed = put(network, host, "c", "10.32.0.1/24");
  await network.run(60_000);
  assert.equal(
    leases.holderOf(parseAddress("10.32.0.1"))?.ident,
    "a",
    "neither given away nor free, however long it takes",
  );
  assert.equal(requests.holderOf(parseAddress("10.32.0.1")), "a");
  assert.throws(() => requests.found("c", parseLease("10.32.0.1/24"), true), /already owned by a/);
  requests.died("a");
  await claimed;
  // The other one turns out to be in use still: claims are refused, and the grace begins when it is free.
  const second = put(network, host, "d", "10.32.0.2/24");
  requests.alive("b");
  await failsWith(second, "WEAVE_IPAM_IN_USE", /10\.32\.0\.2 is already owned by b/);
  requests.ended("b");
  requests.died("b");
  await network.run(25_000);
  assert.ok(leases.get("b") !== undefined);
  await network.run(6_000);
  assert.equal(leases.get("b"), undefined);
});

test("addresses that are to be avoided are handed out when nobody has others, and given away last", async () => {
  const network = make(2, "10.32.0.0/28");
  const [a, b] = network.hosts;
  await get(network, a, "first");
  const avoid = [2, 3, 4].map((octet) => parseAddress(`10.32.0.${octet}`));
  a.allocator!.requests.avoid(new Set(avoid));
  const last = (lease: string) => Number(/\.(\d+)\//.exec(lease)![1]);
  const others: number[] = [];
  for (let i = 0; i < 10; i++) others.push(last(await get(network, i % 2 === 0 ? a : b, `other${i}`)));
  assert.deepEqual(
    others.filter((octet) => octet >= 2 && octet <= 4),
    [],
    `${others}`,
  );
  const rest = [];
  for (const name of ["x", "y", "z"]) rest.push(last(await get(network, a, name)));
  assert.deepEqual(rest.sort(), [2, 3, 4]);
  // What is not asked for any more is like any other; one that is claimed is given at once.
  a.allocator!.requests.free("x", parseAddress("10.32.0.2"));
  a.allocator!.requests.avoid(new Set());
  assert.equal(last(await get(network, a, "again")), 2);
  a.allocator!.requests.avoid(new Set(avoid));
  a.allocator!.requests.freeAll("y");
  await put(network, b, "claimer", "10.32.0.3/28");
});

test("a wait ends when its caller goes, and when its container dies", async () => {
  const network = new IpamNetwork(1, CALM);
  const host = network.add({ mode: "consensus", quorum: () => 2 });
  const allocator = network.start(host);
  const gone = new AbortController();
  const [first, second] = [
    allocator.requests.allocate("a", parseSubnet(RANGE), { signal: gone.signal }),
    allocator.requests.allocate("b", parseSubnet(RANGE), C),
  ];
  gone.abort();
  await failsWith(first, "WEAVE_CANCELLED", /a: cancelled/);
  allocator.requests.died("b");
  await failsWith(second, "WEAVE_CANCELLED", /the container died/);
  assert.equal(allocator.waiters.length, 0);
});

test("rmpeer by several at once: one of them gets all, nobody hands out before all agree; again it finds nothing", async () => {
  const network = make(4);
  const [a, b, c, d] = network.hosts;
  await get(network, a, "first");
  await network.run(2_000);
  network.kill(d);
  await failsWith(
    (async () => a.allocator!.removePeer("h1"))(),
    "WEAVE_IPAM_PEER_ALIVE",
    /\(h1\) is reachable, and not dead\nRun 'weave reset' on that host/,
  );
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
  for (const who of ["h3", d.name, "nobody", a.name]) assert.equal(a.allocator!.removePeer(who).count, 0n);
  // It returns, and obeys.
  network.start(d);
  await network.run(10_000);
  assert.equal(d.allocator!.ring!.digest, a.allocator!.ring!.digest);
  assert.deepEqual(d.allocator!.ring!.ownedBy(d.name), []);
});

test("a peer that was removed by mistake keeps what its containers hold, where nobody else got it", async () => {
  const network = make(3);
  const [a, b, c] = network.hosts;
  await get(network, a, "first");
  const mine = await get(network, c, "mine");
  const other = await get(network, c, "other");
  network.partition((index) => (index === 2 ? 1 : 0));
  await network.run(1_000);
  await settle(network, a.allocator!.removePeer(c.name).agreed);
  // Somebody else gets one of the two meanwhile.
  await put(network, a, "thief", other);
  network.heal();
  await network.run(20_000);
  assert.deepEqual(
    c.allocator!.contested.map(({ address }) => `${address}/24`),
    [other],
  );
  assert.match(c.allocator!.contested[0].why, new RegExp(`is held by thief at ${a.name}\\(h0\\) too`));
  assert.equal(b.allocator!.ring!.at(parseLease(mine).address).value.owner, c.name);
  assert.equal(b.allocator!.ring!.at(parseLease(mine).address).value.cause, "kept");
  assert.match(
    explainAddress(a.allocator!, parseLease(mine).address).join("\n"),
    /owned by .*\(h2\) since .*, epoch 1.*\ntransferred by .*\(h0\)/,
  );
  assert.match(explainPeer(a.allocator!, a.name)[0], /\(h0\) owns \d+ IPs/);
});

test("reset hands everything over to a peer within reach, and refuses from then on", async () => {
  const network = make(2);
  const [a, b] = network.hosts;
  await get(network, a, "first");
  a.allocator!.requests.freeAll("first");
  assert.equal(a.allocator!.leave(), b.name);
  await network.run(1_000);
  assert.equal(b.allocator!.ring!.ownedBy(b.name).length, 2);
  await failsWith(get(network, a, "c"), "WEAVE_CANCELLED", /has left the network/);
  assert.equal(b.allocator!.space.freeIn(b.allocator!.range), 256n);
});

test("two networks that were made apart become one: the larger ring holds, addresses held are kept", async () => {
  const network = new IpamNetwork(3, CALM);
  for (let i = 0; i < 3; i++) network.add({ mode: "consensus", quorum: () => (i === 2 ? 1 : 2) }, RANGE);
  for (const host of network.hosts) network.start(host);
  network.partition((index) => (index === 2 ? 1 : 0));
  const [a, , c] = network.hosts;
  const here = await get(network, a, "a");
  const clash = await get(network, c, "c");
  assert.equal(here, clash);
  await put(network, c, "d", "10.32.0.99/24");
  network.heal();
  await network.run(30_000);
  assert.equal(c.allocator!.ring!.digest, a.allocator!.ring!.digest);
  assert.deepEqual(
    c.allocator!.contested.map(({ address }) => address),
    ["10.32.0.1"],
  );
  assert.equal(a.allocator!.ring!.at(parseAddress("10.32.0.99")).value.owner, c.name);
});

test("peers with another range are named, and of two ranges that overlap one gives way", async () => {
  const network = make(2);
  const [a] = network.hosts;
  await get(network, a, "first");
  const other = network.add({ mode: "consensus", quorum: () => 1 }, "10.32.0.0/16");
  network.start(other);
  await network.run(10_000);
  const words = /launched with --ipalloc-range 10\.32\.0\.0\/24, this one with 10\.32\.0\.0\/16/;
  await failsWith(get(network, other, "x"), "WEAVE_IPAM_RANGE", words);
  assert.match(
    a.allocator!.otherRanges[0].why,
    /launched with --ipalloc-range 10\.32\.0\.0\/16, this one with 10\.32\.0\.0\/24$/,
  );
  await get(network, a, "still-works");
});

test("a disk that fails takes nothing, and gives nothing", async () => {
  const network = make(1);
  const [host] = network.hosts;
  await get(network, host, "a");
  const before = structuredClone(host.disk.contents);
  host.disk.full = true;
  await assert.rejects(get(network, host, "b"), /the disk is full/);
  assert.throws(() => host.allocator!.requests.freeAll("a"), /the disk is full/);
  await network.run(5_000);
  host.disk.full = false;
  assert.deepEqual(host.disk.contents, before);
  assert.equal(await get(network, host, "b"), "10.32.0.2/24");
});

test("what is stored and damaged is refused by name; another name or range starts anew", async () => {
  const network = make(1);
  const [host] = network.hosts;
  await get(network, host, "a");
  network.kill(host);
  host.disk.contents.set("ipam/held/b", { container: true, leases: ["nonsense"] });
  assert.throws(() => network.start(host), /the database holds a damaged 'ipam\/held\/b'/);
  host.disk.contents.delete("ipam/held/b");
  host.range = "10.40.0.0/24";
  network.start(host);
  assert.equal(host.allocator!.ring, undefined);
  assert.equal(await get(network, host, "c"), "10.40.0.1/24");
});

test("hostile messages: cut, changed, enormous or made up ones change nothing, and are refused by code", async () => {
  const network = make(2);
  const [a, b] = network.hosts;
  await get(network, a, "first");
  await network.run(1_000);
  const allocator = a.allocator!;
  const seen: Uint8Array[] = [allocator.gossiper.state(), b.allocator!.gossiper.state()];
  const { digest } = allocator.ring!;
  let refused = 0;
  const hear = (bytes: Uint8Array) => {
    try {
      allocator.gossiper.onGossip(b.name, bytes);
      allocator.gossiper.onUnicast(b.name, bytes);
    } catch (error) {
      assert.ok(error instanceof WeaveError, String((error as Error).stack));
      assert.equal(error.code, "WEAVE_MESSAGE_MALFORMED");
      refused++;
    }
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...seen),
      fc.array(fc.tuple(fc.nat(400), fc.nat(255))),
      fc.nat(400),
      (bytes, edits, cut) => {
        const changed = Uint8Array.from(bytes).subarray(0, Math.max(1, bytes.length - (cut % bytes.length)));
        for (const [at, value] of edits) changed[at % changed.length] = value;
        hear(changed);
      },
    ),
    { numRuns: 3_000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), hear), { numRuns: 3_000 });
  assert.ok(refused > 1_000);
  assert.equal(allocator.ring!.digest, digest);
  assert.ok(decode(z.any(), allocator.gossiper.state(), "our own state") !== undefined);
});

test("five peers, a small range, ten thousand random operations: never two holders, and the model agrees", async () => {
  const network = make(5, "10.32.0.0/22");
  const { random, hosts } = network;
  await get(network, hosts[0], "prime");
  hosts[0].allocator!.requests.freeAll("prime");
  const held = new Map<string, { host: SimHost; ident: string }>();
  const owners: string[] = [];
  for (let step = 0; step < 10_000; step++) {
    const point = random.below(100);
    const host = hosts[random.below(5)];
    const address = owners[random.below(owners.length)];
    if (point < 45 && owners.length < 900) {
      const got = await get(network, host, `c${step}`, "10.32.0.0/22");
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
      assert.equal(await get(network, holder.host, holder.ident, "10.32.0.0/22"), address);
    } else {
      await assert.rejects(put(network, host, `x${step}`, address), WeaveError);
    }
  }
  assert.ok(held.size > 50);
});
