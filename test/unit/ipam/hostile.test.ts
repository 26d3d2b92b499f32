import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ownership } from "#ipam/ring/ring.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { decodeIpamMessage, encodeIpamMessage, type IpamMessage } from "#ipam/wire/ipam-message.js";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import { IpamNetwork, type SimHost } from "#test/sim/ipam-network.js";

const RANGE = "10.32.0.0/24";
const MALLORY = "fe:ff:ff:ff:ff:ff";

function make(peers: number): IpamNetwork {
  const network = new IpamNetwork(1, { lost: 0, doubled: 0, delay: 2 });
  for (let i = 0; i < peers; i++) network.add({ mode: "consensus", quorum: () => (peers >> 1) + 1 }, RANGE);
  for (const host of network.hosts) network.start(host);
  return network;
}

/** Allocates, and lets a minute pass for it at most. */
async function allocate(network: IpamNetwork, host: SimHost, ident: string): Promise<void> {
  let done = false;
  const wish = host.allocator!.requests.allocate(ident, parseSubnet(RANGE), { container: true });
  void wish.then(() => {
    done = true;
  });
  for (let passed = 0; !done && passed < 60_000; passed += 100) await network.run(100);
  assert.ok(
    done,
    `${ident} waits for longer than a minute: ${host.allocator!.waiters.map(({ reason }) => String(reason))}`,
  );
}

/** Mallory says something to all. @returns how many refused it */
function attack(network: IpamNetwork, message: IpamMessage): number {
  let refused = 0;
  for (const { allocator } of network.hosts) {
    try {
      allocator!.gossiper.onGossip(MALLORY, encodeIpamMessage(RANGE, message));
    } catch (error) {
      assert.equal((error as { code?: string }).code, "WEAVE_MESSAGE_MALFORMED");
      refused++;
    }
  }
  return refused;
}

const EXTREMES: readonly (readonly [string, (now: number) => number])[] = [
  ["the largest number", () => Number.MAX_SAFE_INTEGER],
  ["the largest count", () => 2 ** 48],
  ["the latest that is believed", (now) => now + MAX_AHEAD_MS],
];

for (const [what, extreme] of EXTREMES) {
  test(`an election goes on after a ballot of a round that is ${what}`, async () => {
    const network = make(3);
    const now = network.clock.wall();
    const promised = { round: extreme(now), proposer: MALLORY };
    const refused = attack(network, {
      kind: "election",
      votes: new Map([[MALLORY, { promised, accepted: undefined }]]),
    });
    assert.equal(refused, promised.round > now + MAX_AHEAD_MS ? 3 : 0);
    for (const host of network.hosts) await allocate(network, host, "c");
  });

  test(`a claim to the whole range, its counters ${what}, is refused, or ended by rmpeer`, async () => {
    const network = make(3);
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
    const refused = attack(network, { kind: "news", ring: ring!.id, spans: [{ start, end, value }] });
    if (value.epoch > now + MAX_AHEAD_MS) {
      assert.equal(refused, 3);
      assert.equal(host.allocator!.ring!.digest, ring!.digest);
    } else {
      assert.equal(host.allocator!.removePeer(MALLORY).count, 256n);
      await network.run(20_000);
    }
    for (const each of network.hosts) await allocate(network, each, "d");
  });
}

test("voters that are made up are bounded, and what is stored of them is read again after a restart", async () => {
  const network = make(3);
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

test("a forged hint at what a peer has free is overruled by its next", async () => {
  const network = make(2);
  const [host, other] = network.hosts;
  for (const each of network.hosts) await allocate(network, each, "c");
  const version = network.clock.wall() + MAX_AHEAD_MS;
  const hints: number[] = [];
  const { gossiper } = other.allocator!;
  other.gossiper = {
    onUnicast: (from, payload) => gossiper.onUnicast(from, payload),
    onBroadcast: (from, payload) => gossiper.onBroadcast(from, payload),
    state: () => gossiper.state(),
    onGossip: (from, payload) => {
      const { body } = decodeIpamMessage(payload);
      if (body.kind === "hint" && body.peer === host.name) hints.push(body.version);
      return gossiper.onGossip(from, payload);
    },
  };
  attack(network, { kind: "hint", peer: host.name, version, free: 1 });
  for (let i = 0; i < 100; i++) await allocate(network, host, `d${i}`);
  await network.run(3_000);
  assert.ok(
    hints.some((each) => each > version),
    "it never says more",
  );
});
