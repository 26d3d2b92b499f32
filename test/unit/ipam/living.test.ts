import assert from "node:assert/strict";
import { test } from "node:test";
import { sign } from "#ipam/ring/deed.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { decodeIpamMessage, encodeIpamMessage, fromWire } from "#ipam/wire/ipam-message.js";
import type { IpamNetwork, SimHost } from "#test/sim/ipam-network.js";
import { allocate, RANGE, settle, startNetwork } from "./network.js";

/** A takeover of all that a peer owns, signed by another one: the claim, and the result without any agreement. */
function takeOver(network: IpamNetwork, by: SimHost, victim: SimHost): Uint8Array[] {
  const ring = network.hosts[0].allocator!.ring!;
  const since = Math.floor(network.clock.wall() / 1_000);
  const claim = {
    owner: by.name,
    epoch: 1,
    version: 0,
    pending: true,
    since,
    cause: "rmpeer",
    from: victim.name,
  } as const;
  return [claim, { ...claim, version: 1, pending: false }].map((value) => {
    const spans = ring.ownedBy(victim.name).map(({ start, end }) => ({
      start,
      end,
      value: sign(by.signer, by.name, ring.id, { start, end }, value),
    }));
    return encodeIpamMessage(RANGE, { kind: "news", ring: ring.id, spans, consents: [] });
  });
}

test("no peer takes what a living peer owns by a message; the attempt is counted", async () => {
  const network = startNetwork(4);
  const [, , victim, thief] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  const { digest } = victim.allocator!.ring!;
  const honest = network.hosts.slice(0, 3);
  for (const bytes of takeOver(network, thief, victim))
    for (const { allocator } of honest)
      assert.equal(allocator!.gossiper.onGossip(thief.name, bytes, thief.name), undefined);
  await network.run(90_000);
  for (const { allocator } of honest) {
    assert.equal(allocator!.ring!.digest, digest);
    assert.deepEqual(
      allocator!.rejections.all.map(({ source, reason }) => [source, reason]),
      [
        [thief.name, "living peer"],
        [thief.name, "no title"],
      ],
    );
  }
});

test("a takeover carries the signatures of the peers that agreed; a peer that was away checks them", async () => {
  const network = startNetwork(5);
  const [a, b, c, d, away] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  network.kill(away);
  network.kill(d);
  await settle(network, a.allocator!.removePeer(d.name).agreed);
  await network.run(2_000);
  // Both come back together: the peer that was away sees the removed one alive, and needs the others' word.
  network.start(away);
  network.start(d);
  await network.run(30_000);
  for (const { allocator } of [a, b, c, away]) assert.equal(allocator!.ring!.digest, d.allocator!.ring!.digest);
  // The address of its container was handed back.
  assert.deepEqual(
    d.allocator!.ring!.ownedBy(d.name).map(({ start, end, value }) => [end - start, value.cause]),
    [[1n, "kept"]],
  );
});

test("a takeover of a peer that is alive, and that most owners do not agree to, is taken back", async () => {
  const network = startNetwork(4);
  const [a, b, c, d] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  network.partition((index) => (index === 0 ? 1 : 0));
  await network.run(1_000);
  const share = d.allocator!.ring!.ownedBy(d.name).length;
  await settle(network, a.allocator!.removePeer(d.name).agreed);
  network.heal();
  await network.run(60_000);
  for (const { allocator } of [a, b, c]) assert.equal(allocator!.ring!.digest, d.allocator!.ring!.digest);
  assert.equal(d.allocator!.ring!.ownedBy(d.name).length, share);
});

test("agreements of peers that own single addresses as a gift do not end the ownership of a living peer", async () => {
  const network = startNetwork(8);
  const [victim, witness, thief, ...bought] = network.hosts;
  for (const host of network.hosts) await allocate(network, host, "c");
  const { digest } = victim.allocator!.ring!;
  const ring = victim.allocator!.ring!;
  const since = Math.floor(network.clock.wall() / 1_000);
  const text = Buffer.from(JSON.stringify([ring.id, thief.name, victim.name, since]));
  const agreed = bought.map(({ name, signer }) => [name, signer.sign("ipam-agreement", text)] as const);
  const consents = [{ owner: thief.name, from: victim.name, since, agreed }];
  for (const bytes of takeOver(network, thief, victim)) {
    const message = fromWire(decodeIpamMessage(bytes).body, parseSubnet(RANGE));
    assert.ok(message.kind === "news");
    const payload = encodeIpamMessage(RANGE, { ...message, consents });
    for (const { allocator } of [victim, witness]) allocator!.gossiper.onGossip(thief.name, payload, thief.name);
  }
  await network.run(90_000);
  for (const { allocator } of [victim, witness]) assert.equal(allocator!.ring!.digest, digest);
});
