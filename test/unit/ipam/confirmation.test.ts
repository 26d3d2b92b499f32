import assert from "node:assert/strict";
import { test } from "node:test";
import { sign } from "#ipam/ring/deed.js";
import type { Ownership, Span } from "#ipam/ring/ring.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { decodeIpamMessage, encodeIpamMessage, fromWire, type IpamMessage } from "#ipam/wire/ipam-message.js";
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

type Confirmed = Extract<IpamMessage, { kind: "confirmed" }>;

/** A peer that answers questions about gifts only as the test says. */
class SilentWitness {
  /** The last question of each peer. */
  readonly asked = new Map<string, Extract<IpamMessage, { kind: "confirm" }>>();
  readonly #host: SimHost;

  constructor(host: SimHost) {
    this.#host = host;
    const { gossiper } = host.allocator!;
    const isQuestion = (from: string, payload: Uint8Array): boolean => {
      const message = fromWire(decodeIpamMessage(payload).body, parseSubnet(RANGE));
      if (message.kind === "confirm") this.asked.set(from, message);
      return message.kind === "confirm";
    };
    host.gossiper = {
      onUnicast: (from, payload, neighbour) => {
        if (!isQuestion(from, payload)) gossiper.onUnicast(from, payload, neighbour);
      },
      onBroadcast: (from, payload, neighbour) => gossiper.onBroadcast(from, payload, neighbour),
      onGossip: (from, payload, neighbour) => gossiper.onGossip(from, payload, neighbour),
      state: () => gossiper.state(),
    };
  }

  /** Answers a peer's last question. @param from another name @returns how many signatures that peer has checked */
  answer(to: SimHost, parts: Partial<Confirmed>, from = this.#host.name): number {
    const { ring, id } = this.asked.get(to.name)!;
    const answer: Confirmed = { kind: "confirmed", ring, id, agreed: false, spans: [], held: [], ...parts };
    const before = to.signer.verified;
    to.allocator!.gossiper.onUnicast(from, encodeIpamMessage(RANGE, answer), from);
    return to.signer.verified - before;
  }
}

/** A giver gives single addresses to a peer, which waits for a witness. */
async function waitingGift(count: number) {
  const network = startNetwork(4);
  for (const host of network.hosts) await allocate(network, host, "c");
  const [giver, taker, hostile] = network.hosts;
  const ring = giver.allocator!.ring!;
  const [{ start, value }] = ring.ownedBy(giver.name);
  /** A decision of the giver about one of the addresses. */
  const decision = (i: number, change: Partial<Ownership>): Span => {
    const span = { start: start + BigInt(i), end: start + BigInt(i) + 1n };
    const next = { ...value, owner: taker.name, cause: "donation", from: giver.name, ...change } as const;
    return { ...span, value: sign(giver.signer, giver.name, ring.id, span, next) };
  };
  const spans = Array.from({ length: count }, (_, i) => decision(i, { version: value.version + 2 }));
  const give = (given: readonly Span[]) => {
    const news = encodeIpamMessage(RANGE, { kind: "news", ring: ring.id, spans: given, consents: [] });
    taker.allocator!.gossiper.onUnicast(giver.name, news, giver.name);
  };
  const witness = new SilentWitness(hostile);
  network.kill(giver);
  await network.run(100);
  give(spans);
  await network.run(10);
  assert.equal(taker.allocator!.unconfirmedSpans.length, count);
  return { network, giver, taker, hostile, witness, decision, give, version: value.version };
}

test("an answer about gifts costs few checks of signatures, whatever number of decisions it contains", async () => {
  const { taker, hostile, witness, decision, version } = await waitingGift(40);
  /** Each is about all of the addresses. */
  const given = { start: decision(0, {}).start, end: decision(39, {}).end };
  const forged = (later: number) =>
    Array.from({ length: 40 }, (_, i) => {
      const span = decision(i, { owner: hostile.name, version: version + later });
      const deed = { ...span.value.deed!, signature: new Uint8Array(64).fill(i + 1) };
      return { ...given, value: { ...span.value, deed: { ...deed, ...given } } };
    });
  const before = taker.allocator!.rejections.total;
  assert.equal(witness.answer(taker, { spans: forged(1) }), 16);
  assert.equal(taker.allocator!.rejections.total - before, 16);
  // Later ones are checked as changes of the ring, and not for a second time as proofs.
  const later = forged(9);
  assert.ok(witness.answer(taker, { spans: later }) <= later.length);
  assert.deepEqual(taker.allocator!.givenTwice, []);
});

test("a proof that addresses were given twice counts once from a peer that was asked, and from no other", async () => {
  const { giver, taker, hostile, witness, decision, version } = await waitingGift(4);
  const spans = [decision(1, { owner: hostile.name, version: version + 2 })];
  witness.answer(taker, { spans }, giver.name);
  assert.deepEqual(taker.allocator!.givenTwice, []);
  witness.answer(taker, { spans });
  assert.equal(taker.allocator!.givenTwice.length, 1);
});

test("a peer that does not answer is awaited again only after an answer that counts", async () => {
  const { network, taker, witness, decision, give, version } = await waitingGift(2);
  await network.run(5_000);
  assert.deepEqual(taker.allocator!.unconfirmedSpans, []);
  /** Milliseconds for which the next gift is not allocated. */
  const delay = async (i: number): Promise<number> => {
    const before = network.clock.now();
    give([decision(i, { version: version + 2 })]);
    while (taker.allocator!.unconfirmedSpans.length > 0) await network.run(50);
    return network.clock.now() - before;
  };
  assert.ok((await delay(4)) < 500);
  for (const parts of [{ id: 7, agreed: true }, { agreed: false }, { agreed: true }]) witness.answer(taker, parts);
  assert.ok((await delay(6)) < 500, "an answer to no open question took the pause back");
  give([decision(8, { version: version + 2 })]);
  await network.run(1);
  witness.answer(taker, { agreed: false, id: witness.asked.get(taker.name)!.id });
  while (taker.allocator!.unconfirmedSpans.length > 0) await network.run(50);
  assert.ok((await delay(10)) < 500, "an answer without a proof took the pause back");
});

test("a receiver signs what it has got again only when a signed decision shows that others know another one", async () => {
  for (const isSigned of [false, true]) {
    const { network, taker, witness, decision, version } = await waitingGift(2);
    const other = decision(0, { version: version + 1 });
    const deed = { ...other.value.deed!, signature: new Uint8Array(64) };
    const spans = [isSigned ? other : { ...other, value: { ...other.value, deed } }];
    witness.answer(taker, { agreed: true, spans });
    await network.run(500);
    assert.deepEqual(taker.allocator!.unconfirmedSpans, []);
    const { cause, deed: last } = taker.allocator!.ring!.at(other.start).value;
    assert.deepEqual([cause, last!.by === taker.name], isSigned ? ["tidied", true] : ["donation", false]);
  }
});
