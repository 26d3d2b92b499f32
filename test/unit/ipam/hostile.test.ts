import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as z from "zod/mini";
import { type Ownership, Ring } from "#ipam/ring/ring.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { decodeIpamMessage, encodeIpamMessage, type IpamMessage } from "#ipam/wire/ipam-message.js";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import { decode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";
import { IpamNetwork } from "#test/sim/ipam-network.js";
import { allocate, RANGE, startNetwork } from "./network.js";

const MALLORY = "fe:ff:ff:ff:ff:ff";

/** Mallory sends a message to all peers. @returns how many rejected it */
function attack(network: IpamNetwork, message: IpamMessage): number {
  let rejected = 0;
  for (const { allocator } of network.hosts) {
    try {
      allocator!.gossiper.onGossip(MALLORY, encodeIpamMessage(RANGE, message), MALLORY);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "WEAVE_MESSAGE_MALFORMED");
      rejected++;
    }
  }
  return rejected;
}

const EXTREMES: readonly (readonly [string, (now: number) => number])[] = [
  ["the largest number", () => Number.MAX_SAFE_INTEGER],
  ["the largest count", () => 2 ** 48],
  ["the latest plausible one", (now) => now + MAX_AHEAD_MS],
];

for (const [what, extreme] of EXTREMES) {
  test(`an election continues after a ballot of ${what}`, async () => {
    const network = startNetwork(3);
    const now = network.clock.wall();
    const promised = { round: extreme(now), proposer: MALLORY };
    const rejected = attack(network, {
      kind: "election",
      votes: new Map([[MALLORY, { promised, accepted: undefined }]]),
    });
    assert.equal(rejected, promised.round > now + MAX_AHEAD_MS ? 3 : 0);
    for (const host of network.hosts) await allocate(network, host, "c");
  });

  test(`forged ownership of the range, with ${what} as counters, changes nothing`, async () => {
    const network = startNetwork(3);
    const [host] = network.hosts;
    for (const each of network.hosts) await allocate(network, each, "c");
    const { ring } = host.allocator!;
    const now = network.clock.wall();
    const value: Ownership = {
      owner: MALLORY,
      epoch: extreme(now),
      version: extreme(now),
      pending: false,
      since: 0,
      cause: "donation",
      from: undefined,
    };
    const { start, end } = parseSubnet(RANGE);
    const rejected = attack(network, { kind: "news", ring: ring!.id, spans: [{ start, end, value }], consents: [] });
    assert.equal(rejected, value.epoch > now + MAX_AHEAD_MS ? 3 : 0);
    assert.equal(host.allocator!.ring!.digest, ring!.digest);
    if (rejected === 0)
      assert.deepEqual(host.allocator!.rejections.all, [{ source: MALLORY, reason: "unsigned", count: 1 }]);
    for (const each of network.hosts) await allocate(network, each, "d");
  });
}

test("forged voters are bounded, and their stored votes are readable after a restart", async () => {
  const network = startNetwork(3);
  const [host] = network.hosts;
  for (let i = 0; i < 5; i++) {
    const promised = { round: 1, proposer: MALLORY };
    const peers = Array.from(
      { length: 2_000 },
      (_, j) => `fe:00:00:0${i}:${(j >> 8).toString(16).padStart(2, "0")}:${(j & 255).toString(16).padStart(2, "0")}`,
    );
    attack(network, {
      kind: "election",
      votes: new Map(peers.map((peer) => [peer, { promised, accepted: undefined }])),
    });
  }
  await network.run(100);
  network.kill(host);
  network.start(host);
  for (const each of network.hosts) await allocate(network, each, "c");
});

/** A ring that is divided among Mallory and peers that do not exist. */
function inventedRing(): IpamMessage {
  const peers = Array.from({ length: 51 }, (_, i) => `fe:00:00:00:00:${i.toString(16).padStart(2, "0")}`);
  const genesis = { peers: [...peers, MALLORY].sort(), at: 0 };
  return { kind: "ring", genesis, spans: Ring.first(parseSubnet(RANGE), genesis).spans, ask: false, stands: [] };
}

test("a ring of invented peers displaces no ring, and is not the first one of a new network", async () => {
  const network = startNetwork(3);
  attack(network, inventedRing());
  for (const { allocator } of network.hosts) assert.equal(allocator!.ring, undefined);
  for (const host of network.hosts) await allocate(network, host, "c");
  const { digest } = network.hosts[0].allocator!.ring!;
  for (let i = 0; i < 10; i++) {
    attack(network, inventedRing());
    await network.run(60_000);
  }
  for (const { allocator } of network.hosts) {
    assert.equal(allocator!.ring!.digest, digest);
    assert.ok(allocator!.rejections.all.some(({ reason }) => reason === "other ring"));
  }
});

test("a peer that asks for all free addresses again and again gets a share, and a few at a time", async () => {
  const network = startNetwork(3, "10.32.0.0/16");
  const [host, thief] = network.hosts;
  await allocate(network, host, "c");
  const owned = host.allocator!.ring!.shares().get(host.name)!;
  const request = encodeIpamMessage("10.32.0.0/16", { kind: "request", bounds: parseSubnet("10.32.0.0/16") });
  for (let second = 0; second < 60; second++) {
    for (let i = 0; i < 100; i++) host.allocator!.gossiper.onUnicast(thief.name, request, thief.name);
    await network.run(1_000);
  }
  const left = host.allocator!.ring!.shares().get(host.name)!;
  assert.ok(left * 3n > owned, `${left} of ${owned}`);
  assert.ok(host.allocator!.rejections.all.some(({ reason }) => reason === "too many requests"));
});

test("a peer keeps no addresses that it has never owned; of its former ones it gets a few in a short time", async () => {
  const network = startNetwork(2, "10.32.0.0/16");
  const [host, thief] = network.hosts;
  await allocate(network, host, "c");
  const { start } = host.allocator!.ring!.ownedBy(host.name)[0];
  const keep = (first: number, count: number) => {
    const addresses = Array.from({ length: count }, (_, i) => start + BigInt(1_000 + first + i));
    const bytes = encodeIpamMessage("10.32.0.0/16", { kind: "keep", addresses, former: undefined });
    host.allocator!.gossiper.onUnicast(thief.name, bytes, thief.name);
  };
  assert.throws(() => keep(0, 2_000), { code: "WEAVE_MESSAGE_MALFORMED" });
  const before = host.allocator!.ring!.shares().get(host.name)!;
  for (let i = 0; i < 20; i++) keep(256 * i, 256);
  assert.equal(before, host.allocator!.ring!.shares().get(host.name)!);
  assert.deepEqual(host.allocator!.rejections.all, [{ source: thief.name, reason: "not its own", count: 5_120 }]);
  // All that it had once, and has given to the other one.
  const left = host.allocator!.ring!.ownedBy(thief.name)[0].start - start;
  thief.allocator!.leave();
  await network.run(5_000);
  const all = host.allocator!.ring!.shares().get(host.name)!;
  for (let i = 0; i < 20; i++) keep(Number(left) + 256 * i, 256);
  assert.equal(all - host.allocator!.ring!.shares().get(host.name)!, 256n);
});

test("a stand by a ring that this peer has not seen lose gives no addresses; one that it has seen gives some, for some time", async () => {
  const range = "10.32.0.0/16";
  const network = startNetwork(2, range);
  const [host, thief] = network.hosts;
  await allocate(network, host, "c");
  await network.run(1_000);
  const { ring, gossiper, rejections } = host.allocator!;
  const [{ start }] = ring!.ownedBy(host.name);
  const stand = (id: string) => thief.signer.sign("ipam-agreement", Buffer.from(JSON.stringify(["stand", range, id])));
  const send = (message: IpamMessage) => gossiper.onUnicast(thief.name, encodeIpamMessage(range, message), thief.name);
  const before = ring!.shares().get(host.name)!;
  const lost = () => before - host.allocator!.ring!.shares().get(host.name)!;
  let asked = 0;
  const keep = (id: string) => {
    const addresses = Array.from({ length: 256 }, () => start + 1_000n + BigInt(asked++ % 1_024));
    send({ kind: "keep", addresses, former: [id, stand(id)] });
  };
  keep(ring!.id);
  assert.equal(lost(), 0n);
  assert.deepEqual(rejections.all, [{ source: thief.name, reason: "not its own", count: 256 }]);
  const genesis = { peers: [thief.name], at: 7 };
  const invented = Ring.first(parseSubnet(range), genesis);
  keep(invented.id);
  for (const each of [invented, ring!]) {
    const summary = { peers: 1, at: 7, digest: each.digest, id: each.id };
    send({ kind: "digest", ring: summary, stand: stand(each.id) });
    keep(invented.id);
  }
  assert.equal(lost(), 0n);
  // An invented ring is the same as that of a network of one peer: a peer gets few addresses by it.
  send({ kind: "ring", genesis, spans: invented.spans, ask: false, stands: [] });
  assert.equal(host.allocator!.ring!.id, ring!.id);
  asked = 0;
  keep(invented.id);
  assert.equal(lost(), 256n);
  await network.run(601_000);
  for (const id of [invented.id, ring!.id])
    send({ kind: "keep", addresses: [start + 1_000n + 700n], former: [id, stand(id)] });
  assert.equal(lost(), 256n);
});

test("of the addresses of another ring, a peer gets 512", async () => {
  const range = "10.32.0.0/16";
  const network = startNetwork(2, range);
  const [host, thief] = network.hosts;
  await allocate(network, host, "c");
  await network.run(1_000);
  const { ring, gossiper } = host.allocator!;
  const genesis = { peers: [thief.name], at: 7 };
  const { id, spans } = Ring.first(parseSubnet(range), genesis);
  const signature = thief.signer.sign("ipam-agreement", Buffer.from(JSON.stringify(["stand", range, id])));
  const send = (message: IpamMessage) => gossiper.onUnicast(thief.name, encodeIpamMessage(range, message), thief.name);
  send({ kind: "ring", genesis, spans, ask: false, stands: [] });
  const { start } = ring!.ownedBy(host.name)[0];
  for (let asked = 0; asked < 12 * 1_024; asked += 256) {
    const addresses = Array.from({ length: 256 }, (_, i) => start + 1_000n + BigInt((asked + i) % 1_024));
    send({ kind: "keep", addresses, former: [id, signature] });
    await network.run(10_000);
  }
  const [before, after] = [ring!, host.allocator!.ring!].map((each) => each.shares().get(host.name)!);
  assert.equal(before - after, 512n);
});

test("votes in the names of others make no quorum", async () => {
  const network = new IpamNetwork(1, { lost: 0, doubled: 0, delay: 2 });
  for (let i = 0; i < 5; i++) network.add({ mode: "consensus", quorum: () => 4 }, RANGE);
  const [host, ...others] = network.hosts;
  network.start(host);
  host.allocator!.requests.prime().catch(() => {});
  const ballot = { round: 1, proposer: host.name };
  const accepted = { ballot, value: { peers: [MALLORY], at: 1 } };
  const votes = new Map(
    others.map(({ name }) => [name, { promised: ballot, accepted, signature: new Uint8Array(64) }]),
  );
  host.allocator!.gossiper.onUnicast(MALLORY, encodeIpamMessage(RANGE, { kind: "election", votes }), MALLORY);
  await network.run(5_000);
  assert.equal(host.allocator!.ring, undefined);
  assert.deepEqual(host.allocator!.rejections.all, [{ source: MALLORY, reason: "vote", count: 4 }]);
  host.allocator!.stop();
});

test("a forged hint of free space is replaced by the next one of its peer", async () => {
  const network = startNetwork(2);
  const [host, other] = network.hosts;
  for (const each of network.hosts) await allocate(network, each, "c");
  const version = network.clock.wall() + MAX_AHEAD_MS;
  const hints: number[] = [];
  const { gossiper } = other.allocator!;
  other.gossiper = {
    onUnicast: (from, payload) => gossiper.onUnicast(from, payload, from),
    onBroadcast: (from, payload) => gossiper.onBroadcast(from, payload, from),
    state: () => gossiper.state(),
    onGossip: (from, payload) => {
      const { body } = decodeIpamMessage(payload);
      if (body.kind === "hint" && body.peer === host.name) hints.push(body.version);
      return gossiper.onGossip(from, payload, from);
    },
  };
  attack(network, { kind: "hint", peer: host.name, version, free: 1 });
  for (let i = 0; i < 100; i++) await allocate(network, host, `d${i}`);
  await network.run(3_000);
  assert.ok(
    hints.some((each) => each > version),
    "it never sends a later one",
  );
});

test("truncated, changed and random messages are rejected and change nothing", async () => {
  const network = startNetwork(2);
  const [a, b] = network.hosts;
  await allocate(network, a, "first");
  await network.run(1_000);
  const allocator = a.allocator!;
  const seen: Uint8Array[] = [allocator.gossiper.state(), b.allocator!.gossiper.state()];
  const { digest } = allocator.ring!;
  let rejected = 0;
  const receive = (bytes: Uint8Array) => {
    try {
      allocator.gossiper.onGossip(b.name, bytes, b.name);
      allocator.gossiper.onUnicast(b.name, bytes, b.name);
    } catch (error) {
      assert.ok(error instanceof WeaveError, String((error as Error).stack));
      assert.equal(error.code, "WEAVE_MESSAGE_MALFORMED");
      rejected++;
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
        receive(changed);
      },
    ),
    { numRuns: 3_000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), receive), { numRuns: 3_000 });
  assert.ok(rejected > 1_000);
  assert.equal(allocator.ring!.digest, digest);
  assert.ok(decode(z.any(), allocator.gossiper.state(), "the own state") !== undefined);
});
