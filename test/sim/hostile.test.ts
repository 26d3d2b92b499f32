import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import { keyPair } from "#mesh/handshake/noise.js";
import { keyStart, type PeerLink } from "#mesh/peer.js";
import { SET_BYTES } from "#mesh/replica/replicas.js";
import { assertConnected } from "./assertions.js";
import { HostilePeer } from "./hostile-peer.js";
import { Network, type SimulatedPeer, simulatedSigner } from "./network.js";
import { seededRandom } from "./virtual-time.js";

/** Three peers, full mesh, and a hostile one that is connected to the first two. */
async function attacked(seed: number): Promise<{ network: Network; peers: SimulatedPeer[]; mallory: HostilePeer }> {
  const network = new Network(seed);
  const peers = [0, 1, 2].map((i) => network.start(i));
  network.connect(peers[1], peers[0]);
  network.connect(peers[2], peers[0]);
  await network.clock.run(5_000);
  assertConnected(peers);
  const mallory = new HostilePeer(network, 1);
  for (const peer of peers.slice(0, 2)) mallory.join(peer);
  await network.clock.run(1_000);
  return { network, peers, mallory };
}

const rejectionsOf = ({ mesh }: SimulatedPeer) => mesh.replicas.rejections.counts;

for (const [what, incarnation] of [
  ["the largest of the format", () => 2 ** 48 - 1],
  ["just more than a day ahead", (now: number) => now + MAX_AHEAD_MS + 60_000],
  ["the latest that is possible", (now: number) => now + MAX_AHEAD_MS],
] as const) {
  test(`a forged record of a victim, its incarnation ${what}, changes nothing and is counted`, async () => {
    const { network, peers, mallory } = await attacked(21);
    const victim = peers[2];
    const before = peers[0].mesh.peer(victim.name);
    const at = Math.floor(incarnation(network.clock.wall()));
    const counted = (peer: SimulatedPeer) => Object.values(rejectionsOf(peer)).reduce((sum, each) => sum + each, 0);
    const start = counted(peers[0]);
    mallory.send(mallory.topology({ origin: victim.name, incarnation: at, version: 9 }, []));
    await network.clock.run(2_000);
    assertConnected(peers);
    assert.deepEqual(peers[0].mesh.peer(victim.name), before);
    assert.equal(mallory.open, 2, "data has closed a session");
    assert.ok(counted(peers[0]) > start, "nothing was counted");
    mallory.leave();
    // Its restart must not be affected either.
    network.kill(victim);
    await network.clock.run(3_000);
    const again = network.start(2);
    network.connect(again, peers[0]);
    await network.clock.run(3 * 60_000);
    assertConnected([peers[0], peers[1], again]);
  });
}

test("a victim whose first neighbour has a false clock connects, also after forged records of it", async () => {
  const network = new Network(22);
  const [a, victim] = [network.start(0), network.start(1)];
  const mallory = new HostilePeer(network, 1);
  mallory.join(a, 2 ** 48 - 1);
  await network.clock.run(1_000);
  mallory.send(mallory.topology({ origin: victim.name, incarnation: 2 ** 48 - 10, version: 3 }, []));
  await network.clock.run(1_000);
  network.connect(victim, a);
  await network.clock.run(60_000);
  assertConnected([a, victim]);
});

test("two contents under one version are proven to all peers, and the records of their author are ignored, and it is named", async () => {
  const { network, peers, mallory } = await attacked(23);
  const of = { incarnation: network.clock.wall(), version: 9 };
  mallory.send(...peers.slice(0, 2).map((peer) => mallory.topology(of, [mallory.linkTo(peer)])));
  await network.clock.run(3 * 60_000);
  assertConnected(peers);
  for (const { mesh } of peers) {
    assert.deepEqual(
      mesh.replicas.equivocations.map(({ set, origin, version }) => [set, origin, version]),
      [["topology", mallory.name, 9]],
    );
    // It is named once, there: no two machines use one name.
    assert.deepEqual(mesh.status().conflicts, []);
    assert.deepEqual(mesh.peer(mallory.name)?.links ?? [], [], "its records are used");
  }
});

test("replayed records of a victim's earlier versions change nothing", async () => {
  const { network, peers, mallory } = await attacked(24);
  const victim = peers[2];
  const received = mallory.received.filter((each) => each.kind === "push" || each.kind === "unicast");
  assert.ok(received.length > 0, "mallory has received no records");
  network.kill(victim);
  await network.clock.run(3_000);
  const again = network.start(2);
  network.connect(again, peers[0]);
  await network.clock.run(3 * 60_000);
  for (const each of received) mallory.send(mallory.push(each.payload));
  await network.clock.run(60_000);
  assertConnected([peers[0], peers[1], again]);
  assert.equal(peers[0].mesh.peer(victim.name)?.incarnation, again.mesh.status().self.incarnation);
  assert.equal(again.mesh.status().self.version, peers[1].mesh.peer(again.name)?.version);
});

test("oversized and malformed records are counted by their neighbour, and close no session", async () => {
  const { network, peers, mallory } = await attacked(29);
  mallory.send(mallory.push(new Uint8Array(100_000)), mallory.push(Uint8Array.of(1, 2, 3)));
  await network.clock.run(2_000);
  assert.equal(mallory.open, 2);
  const [oversized, malformed] = peers
    .slice(0, 2)
    .map(({ mesh }) => mesh.replicas.rejections.byNeighbour.get(mallory.name));
  assert.equal(oversized?.oversized, 1);
  assert.equal(malformed?.malformed, 1);
  assertConnected(peers);
});

test("a hostile neighbour that invents peers fills a bounded memory, and honest peers still join", async () => {
  const { network, peers, mallory } = await attacked(30);
  const other = new HostilePeer(network, 99);
  for (let i = 0; i < 3_000; i++) {
    const origin = `02:66:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`;
    mallory.send(
      other.topology({ origin, incarnation: 1, version: 60, nickname: "n".repeat(255) }, links(40, peers[0])),
    );
  }
  await network.clock.run(10_000);
  const { usedBytes } = peers[0].mesh.replicas;
  assert.ok(usedBytes > 4 << 20, `only ${usedBytes} bytes were filled`);
  assert.ok(usedBytes <= SET_BYTES.topology, `${usedBytes} bytes`);
  assert.ok(rejectionsOf(peers[0])["neighbour-budget"] > 0);
  const late = network.start(3);
  network.connect(late, peers[0]);
  await network.clock.run(10_000);
  assertConnected([...peers, late]);
});

const links = (count: number, to: SimulatedPeer): PeerLink[] =>
  Array.from({ length: count }, (_, i) => ({
    to: `02:77:00:00:00:${i.toString(16).padStart(2, "0")}`,
    key: keyStart(to.mesh.status().self.identity),
    address: `10.9.0.${i}:6783`,
    outbound: true,
    established: true,
  }));

test("a relayed message passes a bounded number of peers, with any hop count", async () => {
  const network = new Network(25);
  const a = network.start(0);
  const [from, to] = [new HostilePeer(network, 1), new HostilePeer(network, 2)];
  from.join(a);
  to.join(a);
  await network.clock.run(1_000);
  const message = { channel: "x", from: from.name, hops: 2 ** 48, payload: new Uint8Array(1) };
  from.send({ kind: "unicast", to: to.name, ...message });
  from.send({ kind: "broadcast", ...message });
  await network.clock.run(1_000);
  const relayed = to.received.filter((each) => each.kind === "unicast" || each.kind === "broadcast");
  assert.deepEqual(
    relayed.map(({ kind, hops }) => [kind, hops]),
    [["unicast", 31]],
  );
});

const HOUR_MS = 3_600_000;

for (const [how, behindMs, downMs, newKey] of [
  ["a lost disk, an hour behind, rebooted at once", HOUR_MS, 3_000, true],
  ["a lost disk, a week behind, rebooted at once", 7 * 24 * HOUR_MS, 3_000, true],
  ["a lost disk, a week behind, back after five minutes", 7 * 24 * HOUR_MS, 5 * 60_000, true],
  ["a restored disk, a week behind, rebooted at once", 7 * 24 * HOUR_MS, 3_000, false],
  ["a lost disk, two years behind, back after an hour", 730 * 24 * HOUR_MS, HOUR_MS, true],
] as const) {
  test(`a peer without a clock (${how}) connects again`, async () => {
    const network = new Network(26);
    const peers = [0, 1, 2].map((i) => network.start(i));
    for (const peer of peers.slice(1)) network.connect(peer, peers[0]);
    await network.clock.run(5_000);
    network.kill(peers[2]);
    await network.clock.run(downMs);
    const { clock } = network;
    const wall = () => clock.wall() - behindMs;
    const saved: number[] = [];
    const back = network.start(2, {
      clock: { now: () => clock.now(), wall, after: (ms, run) => clock.after(ms, run) },
      incarnation: wall(),
      ...(newKey ? { staticKey: keyPair(seededRandom(99).bytes(32)) } : {}),
      events: { ...silentEvents, incarnation: (incarnation) => void saved.push(incarnation) },
    });
    network.connect(back, peers[0], peers[1]);
    // Others must first detect that the old one is dead, which takes a minute of silence.
    await network.clock.run(downMs > 60_000 ? 5_000 : 3 * 60_000);
    assertConnected([peers[0], peers[1], back]);
    // With another key the name begins again; with the same key others send the old record, and it begins a later incarnation.
    if (!newKey) assert.ok((saved.at(-1) ?? 0) > clock.wall() - HOUR_MS, "the later incarnation was not saved");
  });
}

const silentEvents = { routes() {}, suspended() {}, resumed() {}, forgotten() {}, targets() {} };

test("a peer whose clock is days ahead is refused with the reason, at both ends, and connects once it is right", async () => {
  const network = new Network(27);
  const a = network.start(0);
  const ahead = network.start(1, { incarnation: network.clock.wall() + 3 * MAX_AHEAD_MS });
  network.connect(ahead, a);
  await network.clock.run(30_000);
  const words = /^the clock of 02:00:00:00:00:01\(h1\) was 2 days ahead .*set the clocks right/;
  assert.match(ahead.mesh.status().attempts[0].error!, words);
  assert.deepEqual(
    a.mesh.status().refused.map(({ reason }) => reason),
    ["clock"],
  );
  assert.ok(a.mesh.status().refusals.clock > 1, "it is not tried again");
  network.kill(ahead);
  await network.clock.run(1_000);
  const right = network.start(1);
  network.connect(right, a);
  await network.clock.run(30_000);
  assertConnected([a, right]);
  assert.deepEqual(a.mesh.status().refused, []);
});

test("a target by name is resolved at each attempt: the peer is found at a new address, and among several addresses", async () => {
  const network = new Network(28);
  const a = network.start(0, { discovery: false });
  const target = { text: "h1", address: "h1:6783", port: false };
  a.mesh.connect([target], false);
  await network.clock.run(10_000);
  const [attempt] = a.mesh.status().attempts;
  assert.deepEqual([attempt.address, attempt.state, attempt.error], ["h1:6783", "failed", "lookup h1: no such host"]);
  const first = network.start(1, { discovery: false });
  network.names.set("h1", ["10.0.3.3", first.host, "10.0.3.4"]);
  await network.clock.run(60_000);
  assertConnected([a, first]);
  network.kill(first);
  const moved = network.start(300, {
    discovery: false,
    name: first.name,
    staticKey: keyPair(seededRandom(1_000_001).bytes(32)),
    signer: simulatedSigner(1),
  });
  network.names.set("h1", [moved.host]);
  await network.clock.run(3 * 60_000);
  assertConnected([a, moved]);
});

test("silent clients from twenty addresses do not keep an honest peer out, nor do a thousand from one", async () => {
  for (const [sources, perSecond] of [
    [20, 300],
    [1, 1_000],
  ] as const) {
    const network = new Network(29, 20);
    const [hub, honest] = [network.start(0), network.start(1)];
    let flood = true;
    let next = 0;
    const again = () => {
      if (!flood) return;
      void network.dial(`10.1.0.${1 + (next++ % sources)}`, `${hub.host}:6783`).catch(() => {});
      network.clock.after(1_000 / perSecond, again);
    };
    again();
    await network.clock.run(15_000);
    network.connect(honest, hub);
    await network.clock.run(5_000);
    assertConnected([hub, honest]);
    flood = false;
    const { refusals, refused } = hub.mesh.status();
    assert.ok(refusals.busy > 0);
    assert.ok(refused.length <= 32);
  }
});
