import assert from "node:assert/strict";
import { test } from "node:test";
import { sign } from "#ipam/ring/deed.js";
import { parseAddress } from "#ipam/ring/subnet.js";
import { encodeIpamMessage } from "#ipam/wire/ipam-message.js";
import type { SimHost } from "#test/sim/ipam-network.js";
import { allocate, claim, RANGE, startNetwork } from "./network.js";

const AT = "10.32.0.200";

/** A transfer of an address to a peer, signed by another one, which claims to own it. */
function transfer(by: SimHost, to: SimHost, version: number, signer = by.signer) {
  const ring = by.allocator!.ring!;
  const start = parseAddress(AT);
  const span = { start, end: start + 1n };
  const { since } = ring.at(start).value;
  const value = { owner: to.name, epoch: 0, version, pending: false, since, cause: "donation", from: by.name } as const;
  return { ring: ring.id, span: { ...span, value: sign(signer, by.name, ring.id, span, value) } };
}

test("a transfer that its owner has not signed changes nothing, and is counted", async () => {
  const network = startNetwork(3);
  const [a, b, c] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  const owner = network.hosts.find(({ name }) => name === a.allocator!.ring!.at(parseAddress(AT)).value.owner)!;
  const [thief, witness] = [a, b, c].filter((host) => host !== owner);
  const { digest } = a.allocator!.ring!;
  for (const { ring, span } of [transfer(thief, thief, 7), transfer(owner, thief, 1, thief.signer)]) {
    const bytes = encodeIpamMessage(RANGE, { kind: "news", ring, spans: [span], consents: [] });
    for (const host of [owner, witness])
      assert.equal(host.allocator!.gossiper.onGossip(thief.name, bytes, thief.name), undefined);
  }
  await network.run(90_000);
  for (const { allocator } of [owner, witness]) {
    assert.equal(allocator!.ring!.digest, digest);
    assert.deepEqual(allocator!.rejections.all.map(({ source, reason }) => [source, reason]).sort(), [
      [thief.name, "forged"],
      [thief.name, "no title"],
    ]);
  }
});

test("a peer that has missed transfers asks for the decisions in between", async () => {
  const network = startNetwork(4);
  const [a, b, c, d] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  network.partition((index) => (index === 3 ? 1 : 0));
  const owner = network.hosts.find(
    ({ name }) => name === a.allocator!.ring!.at(parseAddress("10.32.0.99")).value.owner,
  )!;
  const takers = [a, b, c].filter((host) => host !== owner);
  for (let i = 0; i < 5; i++) {
    const taker = i % 3 === 2 ? owner : takers[i % 3];
    await claim(network, taker, `x${i}`, "10.32.0.99/24");
    taker.allocator!.requests.freeAll(`x${i}`);
  }
  assert.equal(a.allocator!.ring!.at(parseAddress("10.32.0.99")).value.version, 5);
  network.heal();
  await network.run(20_000);
  assert.equal(d.allocator!.ring!.digest, a.allocator!.ring!.digest);
  // One that joins now begins with the first division.
  const late = network.add({ mode: "observer" }, RANGE);
  network.start(late);
  await network.run(20_000);
  assert.equal(late.allocator!.ring!.digest, a.allocator!.ring!.digest);
  assert.deepEqual(late.allocator!.rejections.all, []);
});

test("deeds of an excluded peer count, but none of another identity with its name, and rmpeer takes over its space", async () => {
  const network = startNetwork(3);
  const [a] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  const out = network.hosts.find(({ name }) => name === a.allocator!.ring!.at(parseAddress(AT)).value.owner)!;
  const [witness, other] = network.hosts.filter((host) => host !== out);
  await claim(network, witness, "z", `${AT}/24`);
  const forged = transfer(out, other, 7, other.signer);
  network.excluded.add(out.name);
  network.kill(out);
  await network.run(20_000);

  const { digest } = witness.allocator!.ring!;
  const bytes = encodeIpamMessage(RANGE, { kind: "news", ring: forged.ring, spans: [forged.span], consents: [] });
  witness.allocator!.gossiper.onGossip(other.name, bytes, other.name);
  assert.equal(witness.allocator!.ring!.digest, digest);
  assert.deepEqual(
    witness.allocator!.rejections.all.map(({ reason }) => reason),
    ["forged"],
  );

  const late = network.add({ mode: "observer" }, RANGE);
  network.start(late);
  await network.run(20_000);
  assert.equal(late.allocator!.ring!.digest, digest);
  assert.ok(late.allocator!.removePeer(`h${out.index}`).count > 0n);
  await network.run(20_000);
  for (const { allocator } of [witness, other, late]) {
    assert.equal(allocator!.ring!.shares().has(out.name), false);
    assert.equal(allocator!.ring!.digest, late.allocator!.ring!.digest);
    assert.equal(allocator!.ring!.at(parseAddress(AT)).value.owner, witness.name, "what it gave away stays given");
  }
});

test("a database of before deeds loads: its spans count as checked", async () => {
  const network = startNetwork(2);
  const [a] = network.hosts;
  await allocate(network, a, "c");
  await claim(network, a, "z", `${AT}/24`);
  const { digest } = a.allocator!.ring!;
  network.kill(a);
  const { titles: _, ...stored } = a.disk.contents.get("ipam/ring") as {
    titles: unknown;
    part: { spans: unknown[][] };
  };
  const { identities: _i, deeds: _d, ...part } = { identities: [], deeds: [], ...stored.part };
  a.disk.contents.set("ipam/ring", { ...stored, part: { ...part, spans: part.spans.map((row) => row.slice(0, 9)) } });
  network.start(a);
  assert.equal(a.allocator!.ring!.digest, digest);
  await network.run(10_000);
  await allocate(network, a, "d");
});

test("decisions in the name of a peer that turns out to have another identity are dropped", async () => {
  const network = startNetwork(3);
  const [owner, thief] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  const { ring } = owner.allocator!;
  const span = ring!.ownedBy(owner.name)[0];
  const late = network.add({ mode: "observer" }, RANGE);
  network.unknown.add(owner.name);
  network.start(late);
  await network.run(10_000);
  const value = { ...span.value, owner: thief.name, version: 9, cause: "donation", from: owner.name } as const;
  const forged = { ...span, value: sign(thief.signer, owner.name, ring!.id, span, value) };
  const bytes = encodeIpamMessage(RANGE, { kind: "news", ring: ring!.id, spans: [forged], consents: [] });
  late.allocator!.gossiper.onUnicast(thief.name, bytes, thief.name);
  assert.equal(late.allocator!.ring!.at(span.start).value.owner, thief.name);
  network.unknown.clear();
  await network.run(20_000);
  assert.equal(late.allocator!.ring!.digest, owner.allocator!.ring!.digest);
  assert.deepEqual(
    late.allocator!.rejections.all.map(({ reason }) => reason),
    ["forged"],
  );
});
