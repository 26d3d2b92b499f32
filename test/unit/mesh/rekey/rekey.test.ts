import assert from "node:assert/strict";
import { test } from "node:test";
import { launchedAs } from "#mesh/rekey/ledger.js";
import { fingerprintOf } from "#mesh/rekey/order.js";
import { decodeRekey, encodeRekey } from "#mesh/rekey/wire.js";
import { Group, type GroupPeer, request, secretOf } from "./group.js";

/** A line of peers with one password, all of which know one another. */
async function line(seed: number, count: number, password: number | undefined): Promise<[Group, GroupPeer[]]> {
  const group = new Group(seed);
  const peers = Array.from({ length: count }, () => group.add(password));
  for (let i = 1; i < count; i++) assert.ok(group.connect(peers[i - 1], peers[i]));
  await group.clock.run(1_000);
  return [group, peers];
}

const passwordsOf = (peer: GroupPeer): (number | undefined)[] => peer.secrets.accepted.map((each) => each?.key[0]);
/** Asserts that all peers use one password, and which. */
function assertPassword(peers: readonly GroupPeer[], password: number | undefined, how = ""): void {
  for (const peer of peers) assert.equal(passwordsOf(peer)[0], password, `${peer.nickname} ${how}`);
}

test("an order reaches all peers of a line; both secrets are accepted until all have it, then the earlier one is gone", async () => {
  const [group, peers] = await line(1, 8, 1);
  peers[3].rekey.order(request(2));
  assert.deepEqual(passwordsOf(peers[3]), [2, 1], "both");
  assert.equal(peers[3].rekey.status().lacking.length, 7);
  await group.clock.run(3_000);
  assertPassword(peers, 2);
  assert.deepEqual(passwordsOf(peers[0]), [2, 1], "both for a while");
  await group.clock.run(120_000);
  for (const peer of peers) {
    assert.deepEqual(passwordsOf(peer), [2], peer.nickname);
    const { lacking, order, earlierUntil } = peer.rekey.status();
    assert.deepEqual([lacking, earlierUntil, order?.by.nickname], [[], undefined, "h3"]);
    assert.deepEqual(
      peer.stored?.secrets.map(({ key }) => key?.[0]),
      [2],
      "on disk",
    );
  }
});

test("status names who lacks the secret; at the deadline the earlier one ends all the same", async () => {
  const [group, peers] = await line(2, 4, 1);
  group.cut(peers[2], peers[3]);
  peers[0].rekey.order(request(2, { deadlineMs: 60_000 }));
  await group.clock.run(50_000);
  assert.deepEqual(
    peers[1].rekey.status().lacking.map(({ nickname }) => nickname),
    ["h3"],
  );
  assert.deepEqual(passwordsOf(peers[1]), [2, 1]);
  await group.clock.run(40_000);
  assert.deepEqual(
    peers[1].rekey.status().lacking.map(({ nickname }) => nickname),
    ["h3"],
  );
  for (const peer of peers.slice(0, 3)) assert.deepEqual(passwordsOf(peer), [2]);
  assert.equal(group.connect(peers[3], peers[2]), false, "after the deadline");
});

test("a peer whose line was cut during the change gets in again before the deadline, and has the secret then", async () => {
  const [group, peers] = await line(3, 4, 1);
  group.cut(peers[2], peers[3]);
  await group.clock.run(5_000);
  peers[0].rekey.order(request(2));
  await group.clock.run(60_000);
  assert.ok(group.connect(peers[3], peers[2]));
  await group.clock.run(60_000);
  assertPassword(peers, 2);
  for (const peer of peers) assert.deepEqual(passwordsOf(peer), [2], peer.nickname);
});

test("a peer that was away gets in with the earlier password only where the order allows it, and so long", async () => {
  for (const [acceptEarlierMs, after, expected] of [
    [0, 120_000, false],
    [3_600_000, 3_000_000, true],
    [3_600_000, 4_000_000, false],
  ] as const) {
    const [group, peers] = await line(4, 4, 1);
    group.stop(peers[3]);
    await group.clock.run(600_000);
    peers[0].rekey.order(request(2, { acceptEarlierMs }));
    await group.clock.run(after);
    group.start(peers[3], 1);
    assert.equal(group.connect(peers[3], peers[2]), expected, `${acceptEarlierMs} ${after}`);
    await group.clock.run(60_000);
    if (expected) assertPassword(peers, 2);
    else {
      // Launched with the new password it is a peer as before.
      group.start(peers[3], 2);
      assert.ok(group.connect(peers[3], peers[2]));
      await group.clock.run(60_000);
      assert.equal(peers[3].rekey.status().order?.by.nickname, "h0");
      assert.deepEqual(peers[0].rekey.status().lacking, []);
    }
  }
});

test("an excluded peer is cut off at all peers, never receives the secret, and cannot return, not even with another identity", async () => {
  const [group, peers] = await line(5, 6, 1);
  for (const other of [0, 2]) assert.ok(group.connect(peers[4], peers[other]));
  await group.clock.run(1_000);
  const excluded = peers[2];
  group.tap = (_, to, payload) => {
    if (to === excluded)
      assert.ok(!Buffer.from(payload).includes(Buffer.from(secretOf(2))), "the secret is sent to it");
  };
  peers[0].rekey.order(request(2, { excluded: [excluded] }));
  await group.clock.run(1_000);
  const others = peers.filter((peer) => peer !== excluded);
  assertPassword(others, 2);
  assert.equal(group.reachable(peers[0]).length, 4);
  assert.deepEqual(group.neighbours(excluded), []);
  for (const peer of group.reachable(peers[0])) assert.ok(peer.excluded.has(excluded.identity), peer.nickname);
  assert.equal(group.connect(excluded, peers[0]), false);
  // The earlier password is still accepted, but of peers that are known.
  assert.ok(peers[0].secrets.accepted.length > 1);
  assert.equal(group.connect(group.add(1), peers[0]), false, "a new identity with the earlier password");
});

test("two orders at once end in one result at all peers, whatever the delays", async () => {
  for (let seed = 10; seed < 18; seed++) {
    const [group, peers] = await line(seed, 20, 1);
    for (let i = 0; i < 10; i++) group.connect(peers[i], peers[10 + group.random.below(10)]);
    peers[1].rekey.order(request(2));
    await group.clock.run(group.random.below(60));
    peers[18].rekey.order(request(3));
    await group.clock.run(200_000);
    const ids = new Set(peers.map((peer) => peer.rekey.status().order!.id));
    assert.equal(ids.size, 1, `seed ${seed}`);
    assertPassword(peers, 3, `seed ${seed}`);
    for (const peer of peers) {
      assert.deepEqual(passwordsOf(peer), [3], `seed ${seed} ${peer.nickname}`);
      assert.deepEqual(peer.rekey.status().lacking, [], `seed ${seed} ${peer.nickname}`);
    }
  }
});

test("halves with different orders end in one result when they meet again, if the earlier secret is still accepted", async () => {
  for (let seed = 50; seed < 54; seed++) {
    const [group, peers] = await line(seed, 20, 1);
    group.cut(peers[9], peers[10]);
    await group.clock.run(300_000);
    peers[0].rekey.order(request(2, { acceptEarlierMs: 3_600_000 }));
    await group.clock.run(5_000);
    peers[19].rekey.order(request(3, { acceptEarlierMs: 3_600_000 }));
    await group.clock.run(600_000);
    assertPassword(peers.slice(0, 10), 2);
    assertPassword(peers.slice(10), 3);
    assert.ok(group.connect(peers[9], peers[10]), `seed ${seed}`);
    await group.clock.run(60_000);
    assertPassword(peers, 3, `seed ${seed}`);
    await group.clock.run(4_000_000);
    for (const peer of peers) assert.deepEqual(passwordsOf(peer), [3], `seed ${seed}`);
  }
});

test("of two orders at once the exclusions of both apply, and status names a peer that may know the secret", async () => {
  const [group, peers] = await line(60, 10, 1);
  for (let i = 0; i < 10; i++) group.connect(peers[i], peers[(i + 3) % 10]);
  await group.clock.run(1_000);
  peers[0].rekey.order(request(2, { excluded: [peers[4]] }));
  await group.clock.run(1);
  peers[9].rekey.order(request(3));
  await group.clock.run(120_000);
  const others = peers.filter((peer) => peer !== peers[4]);
  assertPassword(others, 3);
  for (const peer of others) {
    assert.ok(peer.excluded.has(peers[4].identity), peer.nickname);
    assert.deepEqual(
      peer.rekey.status().doubtful.map(({ name }) => name),
      [peers[4].name],
      peer.nickname,
    );
  }
  assert.deepEqual(group.neighbours(peers[4]), []);
  // One more order: it carries the exclusion, and no peer sends it to that peer.
  peers[5].rekey.order(request(4));
  await group.clock.run(120_000);
  assertPassword(others, 4);
  for (const peer of others) assert.deepEqual(peer.rekey.status().doubtful, [], peer.nickname);
});

test("an order that arrives again, or an older one, changes nothing", async () => {
  const [group, peers] = await line(70, 5, 1);
  const seen: Uint8Array[] = [];
  group.tap = (_, __, payload) => void seen.push(payload);
  peers[0].rekey.order(request(2, { acceptEarlierMs: 60_000 }));
  await group.clock.run(200_000);
  peers[0].rekey.order(request(3, { acceptEarlierMs: 60_000 }));
  await group.clock.run(200_000);
  const before = peers.map((peer) => structuredClone(peer.stored));
  const again = [...seen];
  const from = { identity: peers[1].identity, name: peers[1].name, text: "h1", send() {} };
  for (const payload of again) for (const peer of peers) peer.rekey.receive(from, payload);
  await group.clock.run(200_000);
  assert.deepEqual(
    peers.map((peer) => peer.stored),
    before,
  );
});

test("an order is rejected if it is forged, far ahead, of an excluded peer, under another peer's name, or against this peer", async () => {
  const [group, peers] = await line(80, 3, 1);
  const [a, b, c] = peers;
  const stranger = group.add(1);
  const message = (by: GroupPeer, change: object = {}, claims: object = {}) => {
    by.rekey.stop();
    const copy = group.add(1);
    Object.assign(copy, { signer: by.signer, name: by.name, nickname: by.nickname, identity: by.identity, ...claims });
    group.start(copy, 1);
    copy.rekey.order(request(7, change));
    const state = copy.stored!;
    group.stop(copy);
    return {
      orders: state.orders,
      current: state.current,
      generation: state.orders[0].order.generation,
      key: secretOf(7),
      acknowledgements: [],
      lacking: [],
    };
  };
  const from = { identity: b.identity, name: b.name, text: "h1", send() {} };
  const countOf = (reason: string) => (a.rekey.status().rejections.counts as Record<string, number>)[reason];
  const rejected = (reason: string, sent: ReturnType<typeof message>) => {
    const count = countOf(reason);
    a.rekey.receive(from, encodeRekey(sent));
    assert.equal(countOf(reason), count + 1, reason);
    assert.deepEqual(passwordsOf(a), [1], reason);
    assert.equal(a.rekey.status().lastRejected?.reason, reason);
  };
  const good = message(c);
  const forged = good.orders.map((each) => ({ ...each, order: { ...each.order, deadline: each.order.deadline + 1 } }));
  rejected("signature", { ...good, orders: forged });
  rejected("self", message(c, { excluded: [a] }));
  rejected("name", message(stranger, {}, { name: c.name }));
  const ahead = good.orders.map((each) => ({
    ...each,
    order: { ...each.order, generation: group.clock.wall() + 2 * 86_400_000 },
  }));
  rejected("future", { ...good, orders: ahead, generation: ahead[0].order.generation });
  a.excluded.add(stranger.identity);
  rejected("excluded", message(stranger));
  // A secret that is not that of the order is none.
  a.rekey.receive(from, encodeRekey({ ...good, key: secretOf(8) }));
  assert.deepEqual(passwordsOf(a), [1]);
  a.rekey.receive(from, encodeRekey(good));
  assert.equal(passwordsOf(a)[0], 7);
  // A forged acknowledgement is none of the orders.
  const orders = countOf("signature");
  const forgedAck = { identity: c.identity, order: good.current, signature: new Uint8Array(64) };
  a.rekey.receive(from, encodeRekey({ ...good, orders: [], acknowledgements: [forgedAck] }));
  assert.deepEqual([countOf("acknowledgement"), countOf("signature")], [1, orders]);
  assert.equal(a.rekey.status().lastRejected?.reason, "excluded");
  assert.ok(a.rekey.status().lacking.some(({ identity }) => identity === c.identity));
  assert.deepEqual([...a.rekey.status().rejections.byNeighbour.keys()], [b.name]);
});

test("orders have a rate: of a flood the newest one is in force after a while, at all peers", async () => {
  const [group, peers] = await line(90, 6, 1);
  // Each host has a rate of its own, so six hosts can order at once.
  for (const [i, peer] of peers.entries()) for (const turn of [0, 1]) peer.rekey.order(request(10 + 2 * i + turn));
  assert.throws(() => {
    for (let i = 0; i < 5; i++) peers[0].rekey.order(request(50 + i));
  }, /WEAVE_REKEY|several changes/);
  await group.clock.run(1_000);
  assert.ok(peers.some((peer) => peer.rekey.status().waiting !== undefined));
  await group.clock.run(300_000);
  const ids = new Set(peers.map((peer) => peer.rekey.status().order!.id));
  assert.equal(ids.size, 1);
  assert.equal(new Set(peers.map((peer) => passwordsOf(peer).join())).size, 1);
});

test("from no password to a password, and back: links stay, and only known peers enter without one meanwhile", async () => {
  const [group, peers] = await line(100, 5, undefined);
  peers[0].rekey.order(request(1));
  assert.equal(peers[0].secrets.required, false);
  assert.equal(group.connect(group.add(undefined), peers[0]), false, "a stranger without a password");
  await group.clock.run(60_000);
  assertPassword(peers, 1);
  assert.ok(peers.every((peer) => peer.secrets.required));
  assert.equal(group.neighbours(peers[2]).length, 2);
  peers[4].rekey.order(request(undefined));
  await group.clock.run(60_000);
  assertPassword(peers, undefined);
  assert.ok(group.connect(group.add(undefined), peers[0]));
  assert.throws(() => peers[0].rekey.order(request(undefined)), /no password already/);
  await group.clock.run(60_000);
  assert.throws(() => peers[0].rekey.order(request(1, { excluded: [peers[1]] })), /could return/);
});

test("a start after a crash applies the exclusions of the order, and a later one leaves those that were lifted", async () => {
  const [group, peers] = await line(120, 4, 1);
  group.connect(peers[0], peers[2]);
  peers[0].rekey.order(request(2, { excluded: [peers[3]] }));
  await group.clock.run(1_000);
  // The list of exclusions was lost with the power.
  group.stop(peers[1]);
  peers[1].excluded.clear();
  group.start(peers[1], 1);
  assert.ok(peers[1].excluded.has(peers[3].identity));
  assert.equal(group.connect(peers[3], peers[1]), false);
  await group.clock.run(60_000);
  // Lifted by 'weave trust forget'.
  group.stop(peers[1]);
  peers[1].excluded.clear();
  group.start(peers[1], 1);
  assert.equal(peers[1].excluded.size, 0);
});

test("a new peer applies the exclusions in force, not those of an earlier order that were lifted", async () => {
  const [group, peers] = await line(130, 4, 1);
  peers[0].rekey.order(request(2, { excluded: [peers[3]] }));
  await group.clock.run(60_000);
  for (const peer of peers) peer.excluded.clear();
  peers[0].rekey.order(request(4));
  await group.clock.run(60_000);
  const late = group.add(4);
  assert.ok(group.connect(late, peers[1]));
  await group.clock.run(5_000);
  assert.equal(late.stored?.orders.length, 2);
  assert.equal(late.excluded.size, 0);
  peers[1].rekey.order(request(5, { excluded: [peers[2]] }));
  await group.clock.run(60_000);
  const later = group.add(5);
  assert.ok(group.connect(later, late));
  await group.clock.run(5_000);
  assert.deepEqual([...later.excluded], [peers[2].identity]);
});

test("requests name any of the peers that lack the secret, not always the same ones", async () => {
  const [group, peers] = await line(140, 2, 1);
  const crowd = Array.from({ length: 300 }, (_, index) => ({
    name: peers[1].name,
    nickname: "crowd",
    identity: index.toString(16).padStart(64, "0"),
  }));
  group.reachable = (peer) => (peer === peers[0] ? [peers[1], ...crowd] : [peers[0]]) as GroupPeer[];
  const named = new Set<string>();
  group.tap = (from, _, payload) => {
    if (from === peers[0]) for (const identity of decodeRekey(payload).lacking) named.add(identity);
  };
  peers[0].rekey.order(request(2));
  await group.clock.run(120_000);
  assert.ok(named.size > 280, `${named.size} of 300`);
});

test("a router that is started again and again with its first password has the one in force, after any number of orders", async () => {
  const [group, peers] = await line(111, 2, 1);
  for (let password = 2; password < 30; password++) {
    peers[0].rekey.order(request(password));
    await group.clock.run(60_000);
    if (password % 7 === 0) {
      group.stop(peers[1]);
      group.start(peers[1], 1);
      assert.ok(group.connect(peers[0], peers[1]));
    }
    assert.equal(peers[1].rekey.status().launchedAs, "replaced");
    assert.equal(launchedAs(peers[1].stored, fingerprintOf(secretOf(1))), "replaced", `after ${password - 1} orders`);
  }
  assertPassword(peers, 29);
});

test("a launch is compared with the orders on disk: the current password, a replaced one, or another", async () => {
  const [group, peers] = await line(110, 3, 1);
  for (const password of [2, 3, 1]) {
    peers[0].rekey.order(request(password));
    await group.clock.run(60_000);
  }
  const state = peers[2].stored;
  const as = (password: number | undefined) =>
    launchedAs(state, fingerprintOf(password === undefined ? undefined : secretOf(password)));
  assert.equal(launchedAs(undefined, fingerprintOf(secretOf(1))), "first");
  assert.equal(as(1), "current", "back to the first one");
  assert.equal(as(2), "replaced");
  assert.equal(as(3), "replaced");
  assert.equal(as(9), "other");
  assert.equal(as(undefined), "other");
  // A restart with the state on disk is a peer as before, and gets all acknowledgements again.
  group.stop(peers[1]);
  group.start(peers[1], 3);
  assert.deepEqual(passwordsOf(peers[1]), [1]);
  assert.ok(group.connect(peers[1], peers[0]) && group.connect(peers[1], peers[2]));
  await group.clock.run(60_000);
  assert.deepEqual(peers[1].rekey.status().lacking, []);
});

test("peers crash, lines break and return at random during a change: at the end all that are connected agree", async () => {
  for (let seed = 200; seed < 206; seed++) {
    const [group, peers] = await line(seed, 24, 1);
    const any = () => peers[group.random.below(peers.length)];
    for (let i = 0; i < 12; i++) group.connect(peers[i], peers[12 + group.random.below(12)]);
    await group.clock.run(2_000);
    peers[5].rekey.order(request(2));
    for (let step = 0; step < 60; step++) {
      await group.clock.run(group.random.below(400));
      const [a, b] = [any(), any()];
      if (a === b) continue;
      if (step === 20 && a.alive) a.rekey.order(request(3));
      if (group.random.below(3) === 0 && a.alive) {
        group.stop(a);
        await group.clock.run(50);
        group.start(a, 1);
      } else if (group.random.below(2) === 0) group.cut(a, b);
      else group.connect(a, b);
    }
    // All lines work again, before the deadline.
    for (let round = 0; round < 3; round++) {
      for (let i = 1; i < 24; i++)
        if (!group.neighbours(peers[i]).includes(peers[i - 1])) group.connect(peers[i], peers[i - 1]);
      await group.clock.run(5_000);
    }
    await group.clock.run(200_000);
    assert.equal(group.reachable(peers[0]).length, 23, `seed ${seed}: all are connected`);
    assertPassword(peers, passwordsOf(peers[0])[0], `seed ${seed}`);
    for (const peer of peers) {
      assert.equal(passwordsOf(peer).length, 1, `seed ${seed} ${peer.nickname}`);
      assert.deepEqual(peer.rekey.status().lacking, [], `seed ${seed} ${peer.nickname}`);
    }
  }
});
