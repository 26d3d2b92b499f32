import assert from "node:assert/strict";
import { test } from "node:test";
import { REDIAL } from "#mesh/dialling/schedule.js";
import { oneSecret } from "#mesh/secrets.js";
import { assertWhole } from "./assertions.js";
import { Network, type SimulatedPeer } from "./network.js";

/** For a channel at a peer that only sends. */
const idle = { onUnicast() {}, onBroadcast() {}, onGossip: () => undefined, state: () => undefined };

test("three peers with one address each find one another and become a full mesh", async () => {
  const network = new Network(1);
  const [a, b, c] = [0, 1, 2].map((i) => network.start(i));
  network.connect(b, a);
  network.connect(c, b);
  await network.clock.run(10_000);
  assertWhole([a, b, c]);
  assert.equal(a.mesh.status().connections.length, 2);
  assert.ok(a.mesh.status().connections.every((connection) => connection.state === "established"));
});

test("without discovery a line stays a line, and its ends are reached through the middle", async () => {
  const network = new Network(2);
  const [a, b, c] = [0, 1, 2].map((i) => network.start(i, { discovery: false }));
  network.connect(a, b);
  network.connect(b, c);
  await network.clock.run(10_000);
  assertWhole([a, b, c]);
  assert.equal(a.mesh.frameRoutes.unicast(c.name), b.name);
  assert.equal(a.mesh.status().connections.length, 1);
});

test("two peers that dial each other at once keep one connection", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const network = new Network(seed);
    const [a, b] = [0, 1].map((i) => network.start(i));
    network.connect(a, b);
    network.connect(b, a);
    await network.clock.run(60_000);
    assertWhole([a, b]);
    assert.equal(a.mesh.status().connections.length, 1);
    assert.equal(a.mesh.status().connections[0].outbound, !b.mesh.status().connections[0].outbound);
  }
});

test("a peer that connects to itself gives up for ever, and counts no termination", async () => {
  const network = new Network(3);
  const a = network.start(0);
  network.connect(a, a);
  await network.clock.run(600_000);
  const [attempt] = a.mesh.status().attempts;
  assert.deepEqual(
    [attempt.state, attempt.error, attempt.retryAt],
    ["failed", "cannot connect to ourself", Number.POSITIVE_INFINITY],
  );
  assert.equal(a.mesh.status().terminations, 0);
});

test("a second key for a name in use is refused with a text that names both ends", async () => {
  const network = new Network(4);
  const a = network.start(0);
  const twin = network.start(1, { name: a.name });
  network.connect(twin, a);
  await network.clock.run(30_000);
  const [attempt] = twin.mesh.status().attempts;
  const words = `local "${a.name}(h1)" and remote "${a.name}(h0)" peer names collision: `;
  assert.ok(attempt.error?.startsWith(words), attempt.error);
  assert.match(attempt.error!, /--name.*machine-id/);
  assert.ok(Number.isFinite(attempt.retryAt), "once one of them has another name, the other must find it");
  const [refused] = a.mesh.status().refused;
  assert.equal(refused.reason, "collision");
  assert.ok(refused.count > 1, "the accepting end shows nothing");
});

test("a third peer shows both ends of a name collision, and keeps the first", async () => {
  const network = new Network(41);
  const [a, b, c] = [network.start(0), network.start(1), network.start(2)];
  network.connect(b, a);
  network.connect(c, b);
  await network.clock.run(5_000);
  const twin = network.start(3, { name: a.name });
  network.connect(twin, c);
  await network.clock.run(5_000);
  assertWhole([a, b, c]);
  assert.equal(c.mesh.peer(a.name)?.nickname, "h0");
});

test("a silent peer is suspended after a minute, forgotten after a quarter of an hour, and both only once", async () => {
  const network = new Network(5);
  const [a, b, c] = [0, 1, 2].map((i) => network.start(i));
  network.connect(a, b, c);
  await network.clock.run(5_000);
  network.kill(c);
  await network.clock.run(100_000);
  assert.deepEqual(a.seen, [`suspended ${c.name}`]);
  assert.equal(a.mesh.status().suspended.length, 1);
  // Any set that is open here: the records of a forgotten peer are dropped from it.
  const dropped: string[] = [];
  const forget = (peer: string) => void dropped.push(peer);
  const set = { equivocations: [], size: 0, peersChanged() {}, revoke() {}, forget };
  a.mesh.replicas.add("another set", set, 0);
  await network.clock.run(16 * 60_000);
  assert.deepEqual(a.seen, [`suspended ${c.name}`, `forgotten ${c.name}`]);
  assert.deepEqual(dropped, [c.name]);
  assertWhole([a, b]);
});

test("a peer that was forgotten, and returns behind another one, is known to all again", async () => {
  const network = new Network(42);
  const [a, b, c] = [0, 1, 2].map((i) => network.start(i, { discovery: false }));
  network.connect(b, a);
  network.connect(c, b);
  await network.clock.run(10_000);
  assertWhole([a, b, c]);
  network.kill(c);
  await network.clock.run(30 * 60_000);
  assert.equal(a.mesh.peer(c.name), undefined);
  const again = network.start(2, { discovery: false });
  network.connect(again, b);
  await network.clock.run(60_000);
  assertWhole([a, b, again]);
});

test("a peer that starts again replaces its old record", async () => {
  const network = new Network(6);
  const [a, b, c] = [0, 1, 2].map((i) => network.start(i));
  network.connect(a, b, c);
  await network.clock.run(5_000);
  network.kill(c);
  await network.clock.run(3_000);
  const again = network.start(2);
  await network.clock.run(5 * 60_000);
  assertWhole([a, b, again]);
});

test("a peer that stops and starts again is connected at once, also if only the other end dials", async () => {
  for (let seed = 0; seed < 10; seed++) {
    const network = new Network(seed);
    const [a, b] = [0, 1].map((i) => network.start(i, { discovery: false }));
    network.connect(b, a);
    await network.clock.run(10_000);
    network.peers.delete(`${a.host}:6783`);
    a.mesh.stop();
    await network.clock.run(1_000);
    assert.equal(b.mesh.status().connections.length, 0);
    const again = network.start(0, { discovery: false });
    await network.clock.run(REDIAL.lastMs * (1 + REDIAL.spread) + 50);
    assert.equal(again.mesh.status().connections.length, 1, `seed ${seed}`);
  }
});

test("a partition splits the mesh, and after it the mesh becomes one again", async () => {
  const network = new Network(7);
  const peers = Array.from({ length: 10 }, (_, i) => network.start(i));
  for (let i = 1; i < 10; i++) network.connect(peers[i], peers[0]);
  await network.clock.run(30_000);
  assertWhole(peers);
  network.partition((index) => index % 2);
  await network.clock.run(3 * 60_000);
  assertWhole(peers.filter((_, i) => i % 2 === 0));
  network.heal();
  await network.clock.run(10 * 60_000);
  assertWhole(peers);
});

test("a wrong password, or one at one end only, is refused: its reason is at the end that refuses, its causes at the other", async () => {
  for (const { theirs, reason, causes } of [
    {
      theirs: new Uint8Array(32).fill(2),
      reason: "the passwords differ: give all peers the same --password",
      causes: /^the other host refused the password of this one: give all peers the same --password/,
    },
    {
      theirs: undefined,
      reason: "one end has a password and the other has none: give all peers the same --password, or none",
      causes: /at the first message: one end has a password and the other has none/,
    },
  ]) {
    const network = new Network(8);
    const logged: string[] = [];
    const log = {
      debug() {},
      info: (message: string, fields?: object) => void logged.push(`${message} ${JSON.stringify(fields)}`),
      warn() {},
      error() {},
    };
    const a = network.start(0, { secrets: oneSecret(new Uint8Array(32).fill(1)) }, log);
    const b = network.start(1, { secrets: oneSecret(theirs) });
    network.connect(b, a);
    await network.clock.run(1_000);
    assert.match(b.mesh.status().attempts[0].error!, causes);
    assert.ok(
      logged.some((line) => line.includes(reason)),
      "the accepting end does not report it",
    );
    const { connections, refused, wrongPasswords } = a.mesh.status();
    assert.equal(connections.length, 0);
    assert.deepEqual(
      refused.map(({ text }) => text),
      [reason],
    );
    // One without a password has not guessed.
    assert.deepEqual(
      wrongPasswords.sources.map(({ source, count }) => [source, count]),
      theirs ? [[b.host, 1]] : [],
    );
  }
});

test("the same password at both ends connects, and both know it", async () => {
  const network = new Network(81);
  const [a, b] = [0, 1].map((i) => network.start(i, { secrets: oneSecret(new Uint8Array(32).fill(9)) }));
  network.connect(b, a);
  await network.clock.run(1_000);
  assertWhole([a, b]);
});

test("the connection limit is kept by both ends", async () => {
  const network = new Network(9);
  const hub = network.start(0, { connectionLimit: 3 });
  const peers = Array.from({ length: 6 }, (_, i) => network.start(i + 1, { discovery: false }));
  for (const peer of peers) network.connect(peer, hub);
  await network.clock.run(60_000);
  assert.equal(hub.mesh.status().connections.length, 3);
  const refused = peers.flatMap((peer) => peer.mesh.status().attempts).map((attempt) => attempt.error);
  assert.equal(refused.filter((error) => error === "Connection limit reached (3)").length, 3);
});

test("a crowd that arrives at once must show cookies, and all connect", async () => {
  const network = new Network(13, 20);
  const hub = network.start(0, { discovery: false });
  const crowd = Array.from({ length: 60 }, (_, i) => network.start(i + 1, { discovery: false }));
  for (const peer of crowd) network.connect(peer, hub);
  await network.clock.run(1_000);
  assert.equal(hub.mesh.status().connections.length, 60);
  assert.equal(crowd.filter(({ mesh }) => mesh.status().attempts.length > 0).length, 0);
});

test("gossip, broadcast and unicast reach their peers, also through one that does not use the channel", async () => {
  const network = new Network(10);
  const [a, b, c] = [0, 1, 2].map((i) => network.start(i, { discovery: false }));
  const received: string[] = [];
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  const known = new Set<string>();
  const gossiper = {
    onUnicast: (from: string, payload: Uint8Array) => void received.push(`unicast ${from} ${text(payload)}`),
    onBroadcast: (from: string, payload: Uint8Array) => void received.push(`broadcast ${from} ${text(payload)}`),
    onGossip: (_from: string, payload: Uint8Array) => {
      if (known.has(text(payload))) return undefined;
      known.add(text(payload));
      received.push(`gossip ${text(payload)}`);
      return payload;
    },
    state: () => undefined,
  };
  c.mesh.channel("test", gossiper);
  const channel = a.mesh.channel("test", idle);
  network.connect(a, b);
  network.connect(b, c);
  await network.clock.run(5_000);
  assert.equal(channel.unicast(c.name, Buffer.from("1")), true);
  channel.broadcast(Buffer.from("2"));
  channel.gossip(Buffer.from("3"));
  await network.clock.run(1_000);
  assert.deepEqual(received.sort(), [`broadcast ${a.name} 2`, "gossip 3", `unicast ${a.name} 1`]);
  assert.equal(channel.unicast("02:00:00:00:99:99", Buffer.from("4")), false);
});

test("a gossiper that throws closes nothing; it is counted", async () => {
  const network = new Network(11);
  const [a, b] = [0, 1].map((i) => network.start(i));
  const throws = () => {
    throw new Error("bad data");
  };
  b.mesh.channel("test", { onUnicast: throws, onBroadcast: throws, onGossip: throws, state: () => undefined });
  const channel = a.mesh.channel("test", idle);
  network.connect(a, b);
  await network.clock.run(1_000);
  channel.broadcast(new Uint8Array(1));
  channel.gossip(new Uint8Array(1));
  channel.unicast(b.name, new Uint8Array(1));
  await network.clock.run(1_000);
  assert.equal(b.mesh.status().quarantined, 3);
  assert.equal(b.mesh.status().connections.length, 1);
});

test("random crashes, restarts and partitions leave one whole mesh when they end", { timeout: 120_000 }, async (t) => {
  for (let seed = 100; seed < 106; seed++) {
    await t.test(`seed ${seed}`, async () => {
      const network = new Network(seed);
      const peers = Array.from({ length: 8 }, (_, i) => network.start(i));
      for (let i = 1; i < 8; i++) network.connect(peers[i], peers[network.random.below(i)]);
      for (let step = 0; step < 12; step++) {
        await network.clock.run(network.random.below(40_000));
        const i = network.random.below(8);
        switch (network.random.below(3)) {
          case 0:
            network.kill(peers[i]);
            await network.clock.run(network.random.below(90_000) + 10);
            peers[i] = network.start(i);
            // Some peer that all others know: else their targets might be two meshes for ever.
            network.connect(peers[i], peers[(i + 1) % 8], peers[0]);
            break;
          case 1:
            network.partition((index) => (index === i ? 1 : 0));
            break;
          default:
            network.heal();
        }
      }
      network.heal();
      await network.clock.run(20 * 60_000);
      assertWhole(peers);
    });
  }
});

test("many peers that join through one settle, with few bytes for each", { timeout: 120_000 }, async () => {
  const network = new Network(12);
  const peers = Array.from({ length: 24 }, (_, i) => network.start(i));
  for (let i = 1; i < peers.length; i++) network.connect(peers[i], peers[0]);
  await network.clock.run(4 * 60_000);
  assertWhole(peers);
  const before = network.bytes;
  await network.clock.run(10 * 60_000);
  const perPeerSecond = (network.bytes - before) / peers.length / 600;
  assert.ok(perPeerSecond < 500, `an idle peer sends ${perPeerSecond.toFixed(0)} B/s`);
});

test("peers that join one after another announce their further links together, and a lost one at once", async () => {
  const network = new Network(1);
  const peers: SimulatedPeer[] = [];
  for (let i = 0; i < 16; i++) {
    peers.push(network.start(i));
    if (i > 0) network.connect(peers[i], peers[0]);
    await network.clock.run(200);
  }
  await network.clock.run(10_000);
  assertWhole(peers);
  // Each link alone would take 65 kB, handshakes included.
  const kilobytes = network.bytes / peers.length / 1_000;
  assert.ok(kilobytes < 55, `${kilobytes.toFixed(0)} kB a peer`);
  const [a, b, c] = peers;
  const known = () => c.mesh.peer(a.name)!.version;
  const before = known();
  a.mesh.connectionTo(b.name)!.close(new Error("the test closes it"));
  await network.clock.run(200);
  assert.ok(known() > before, "the loss is not known");
});
