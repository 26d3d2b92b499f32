import assert from "node:assert/strict";
import { test } from "node:test";
import { sign } from "#ipam/ring/deed.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { encodeIpamMessage } from "#ipam/wire/ipam-message.js";
import type { IpamNetwork, SimHost } from "#test/sim/ipam-network.js";
import { allocate, RANGE, settle, startNetwork } from "./network.js";

/** All that a peer owns, given to another one: a message with a version that is so much later. */
function gift(giver: SimHost, to: SimHost, later: number): Uint8Array {
  const ring = giver.allocator!.ring!;
  const spans = ring.ownedBy(giver.name).map(({ start, end, value }) => {
    const next = {
      ...value,
      owner: to.name,
      version: value.version + later,
      cause: "donation",
      from: giver.name,
    } as const;
    return { start, end, value: sign(giver.signer, giver.name, ring.id, { start, end }, next) };
  });
  return encodeIpamMessage(RANGE, { kind: "news", ring: ring.id, spans, consents: [] });
}

/** Containers of a host that take all addresses that it has. */
function takeAll(network: IpamNetwork, host: SimHost, count: number, name = ""): bigint[] {
  const taken: bigint[] = [];
  for (let i = 0; i < count; i++)
    host
      .allocator!.requests.allocate(`${name}${host.index}-${i}`, parseSubnet(RANGE), { container: true })
      .then(({ address }) => taken.push(address))
      .catch(() => {});
  assert.ok(network.hosts.includes(host));
  return taken;
}

for (const [what, later] of [
  ["of one rank", 1],
  ["of different ranks", 4],
] as const)
  test(`of two peers that get the same addresses by decisions ${what} only one allocates them, and all agree who owns them`, async () => {
    const network = startNetwork(4);
    for (const host of network.hosts) await allocate(network, host, "c");
    const [giver, a, b, witness] = network.hosts;
    const given = giver.allocator!.ring!.ownedBy(giver.name);
    const gifts = [gift(giver, a, 1), gift(giver, b, later)];
    network.kill(giver);
    await network.run(5_000);
    a.allocator!.gossiper.onUnicast(giver.name, gifts[0], giver.name);
    b.allocator!.gossiper.onUnicast(giver.name, gifts[1], giver.name);
    const [atA, atB] = [takeAll(network, a, 120), takeAll(network, b, 120)];
    await network.run(90_000);
    const double = atA.filter((address) => atB.includes(address));
    assert.deepEqual(double, []);
    const inGift = [...atA, ...atB].filter((each) => given.some(({ start, end }) => start <= each && each < end));
    assert.ok(inGift.length > 0, "one of the two allocates them");
    for (const { allocator } of [a, b]) {
      assert.equal(allocator!.ring!.digest, witness.allocator!.ring!.digest);
      assert.deepEqual(allocator!.contested, []);
    }
    assert.ok(
      [a, b, witness].some(({ allocator }) =>
        allocator!.rejections.all.some(({ source, reason }) => source === giver.name && reason === "contradiction"),
      ),
    );
  });

test("an honest gift is allocated within a few round trips; a peer that never answers delays it for three seconds once", async () => {
  const network = startNetwork(4);
  for (const host of network.hosts) await allocate(network, host, "c");
  const [, , taker, silent] = network.hosts;
  /** Milliseconds until it has one address more than are free at present: some other peer gives some. */
  const nextGift = async (name: string): Promise<number> => {
    const free = Number(taker.allocator!.space.freeIn(parseSubnet(RANGE)));
    takeAll(network, taker, free, name);
    await network.run(100);
    const before = network.clock.now();
    await settle(network, taker.allocator!.requests.allocate(name, parseSubnet(RANGE)));
    return network.clock.now() - before;
  };
  const prompt = await nextGift("a");
  assert.ok(prompt < 500, `${prompt} ms`);
  const { name } = silent;
  const deaf = { onUnicast: () => {}, onBroadcast: () => {}, onGossip: () => undefined, state: () => new Uint8Array() };
  network.hosts.find((host) => host.name === name)!.gossiper = deaf;
  const waits = [await nextGift("b"), await nextGift("c")];
  assert.ok(waits[0] >= 3_000 && waits[0] < 7_000, `${waits}`);
  assert.ok(waits[1] < 4_000, `${waits}`);
});

test("a full disk at the receiver of what was given twice ends no timer, and is tried again when there is room", async () => {
  const network = startNetwork(4);
  for (const host of network.hosts) await allocate(network, host, "c");
  const [giver, a, b, witness] = network.hosts;
  const gifts = [gift(giver, a, 1), gift(giver, b, 4)];
  network.kill(giver);
  await network.run(5_000);
  a.allocator!.gossiper.onUnicast(giver.name, gifts[0], giver.name);
  b.allocator!.gossiper.onUnicast(giver.name, gifts[1], giver.name);
  for (const host of [a, b]) host.disk.full = true;
  await network.run(20_000);
  assert.ok([a, b].some(({ allocator }) => allocator!.givenTwice.length > 0));
  assert.deepEqual(network.errors, []);
  for (const host of [a, b]) host.disk.full = false;
  await network.run(90_000);
  for (const { allocator } of [a, b]) {
    assert.deepEqual(allocator!.unconfirmedSpans, []);
    assert.equal(allocator!.ring!.digest, witness.allocator!.ring!.digest);
  }
});
