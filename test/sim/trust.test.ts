import assert from "node:assert/strict";
import { test } from "node:test";
import { NAME_FORMAT } from "#dns/name-record.js";
import { DNS_CHANNEL } from "#dns/nameserver.js";
import { keyPair } from "#mesh/handshake/noise.js";
import { encodeReplicaMessage } from "#mesh/replica/replica-message.js";
import { memoryTrustStore, type TrustStore } from "#mesh/trust/store.js";
import { Trust } from "#mesh/trust/trust.js";
import { PeerDirectory } from "#router/peers/peer-directory.js";
import { memoryStore } from "#src/store.js";
import { assertConnected } from "./assertions.js";
import { HostilePeer } from "./hostile-peer.js";
import { DOMAIN, withNames } from "./name-peers.js";
import { Network, type SimulatedPeer, simulatedSigner } from "./network.js";
import { signedState } from "./signed-state.js";
import { seededRandom } from "./virtual-time.js";

const HOUR_MS = 3_600_000;
const keysOf = (index: number) => ({
  signer: simulatedSigner(index),
  staticKey: keyPair(seededRandom(index + 1_000_000).bytes(32)),
});

/** Four peers that know one another. */
async function known(seed: number): Promise<{ network: Network; peers: SimulatedPeer[] }> {
  const network = new Network(seed);
  const peers = [0, 1, 2, 3].map((i) => network.start(i));
  for (const peer of peers.slice(1)) network.connect(peer, peers[0]);
  await network.clock.run(30_000);
  assertConnected(peers);
  return { network, peers };
}

const conflictsOf = (peers: readonly SimulatedPeer[]) => peers.map(({ mesh }) => mesh.status().conflicts.join("\n"));

test("a twin of an absent peer is refused, and named at both ends and on all peers; forgotten, it gets in", async () => {
  const { network, peers } = await known(1);
  const [a, b, c, owner] = peers;
  network.kill(owner);
  await network.clock.run(10 * HOUR_MS);
  assert.equal(a.mesh.peer(owner.name), undefined, "the mesh has forgotten its record");
  const twin = network.start(9, { name: owner.name, nickname: "twin" });
  network.connect(twin, a);
  await network.clock.run(5_000);
  const words =
    /"02:00:00:00:00:03\(twin\)" has another identity .* than "02:00:00:00:00:03\(h3\)".*weave trust forget/;
  for (const text of conflictsOf([a, b, c])) assert.match(text, words);
  assert.match(twin.mesh.status().attempts[0].error!, words);
  assert.ok(a.mesh.status().refusals.identity > 0);
  assert.equal(twin.mesh.status().connections.length, 0);
  assertConnected([a, b, c]);
  await network.clock.run(HOUR_MS);
  assert.match(conflictsOf([c])[0], words, "it dials, and is refused, still");

  for (const { mesh } of [a, b, c]) assert.equal(mesh.trust.forget(owner.name), true);
  await network.clock.run(10 * 60_000);
  assertConnected([a, b, c, twin]);
  assert.deepEqual(conflictsOf([a, b, c, twin]), ["", "", "", ""]);
  assert.equal(c.mesh.trust.identityOf(owner.name), simulatedSigner(9).identity);
});

test("after a retirement the name is free for another identity; a peer that missed it learns it from the others", async () => {
  const { network, peers } = await known(2);
  const [a, b, c, old] = peers;
  const store: TrustStore = memoryTrustStore();
  const self = { name: c.name, identity: simulatedSigner(2).identity };
  const pins = (network_: Network) => new Trust({ self, clock: network_.clock, store });
  const before = pins(network);
  before.pin(old.mesh.status().self, true);
  before.flush();
  network.kill(c);
  await network.clock.run(10_000);
  old.mesh.retire();
  await network.clock.run(100);
  network.kill(old);
  await network.clock.run(60_000);
  const away = network.start(2, { trust: pins(network) });
  network.connect(away, a);
  assert.equal(away.mesh.trust.identityOf(old.name), simulatedSigner(3).identity, "it missed the retirement");
  const successor = network.start(9, { name: old.name, nickname: "again" });
  network.connect(successor, a, away);
  await network.clock.run(60_000);
  assertConnected([a, b, away, successor]);
  for (const { mesh } of [a, b, away]) assert.equal(mesh.trust.identityOf(old.name), simulatedSigner(9).identity);
  assert.deepEqual(conflictsOf([a, b, away, successor]), ["", "", "", ""]);

  const risen = network.start(8, { name: old.name, ...keysOf(3) });
  network.connect(risen, a, b, away);
  await network.clock.run(60_000);
  assert.equal(risen.mesh.status().connections.length, 0);
  for (const { error } of risen.mesh.status().attempts) assert.match(error ?? "", /was retired by 'weave reset'/);
  for (const { mesh } of [a, b, away]) assert.ok(mesh.status().refusals.retired > 0);
});

test("of a machine and its copy the first stays, and the copy is refused in words that name the remedy", async () => {
  const { network, peers } = await known(3);
  const [a, b, c, first] = peers;
  const copy = network.start(9, { name: first.name, nickname: "copy", ...keysOf(3) });
  network.connect(copy, a, b);
  network.connect(first, a, b);
  await network.clock.run(60_000);
  assertConnected([a, b, c, first]);
  assert.equal(copy.mesh.status().connections.length, 0);
  for (const text of conflictsOf([a, b, c]))
    assert.match(text, /two machines have the identity of .*'weave reset' on the copy/);
  assert.match(copy.mesh.status().attempts[0].error ?? "", /two machines have the identity/);
});

test("an excluded peer's sessions end, and it does not return, under another name either", async () => {
  const { network, peers } = await known(4);
  const [a, b, c, out] = peers;
  for (const { mesh } of [a, b, c]) mesh.trust.exclude(simulatedSigner(3).identity);
  await network.clock.run(5_000);
  assertConnected([a, b, c]);
  assert.equal(out.mesh.status().connections.length, 0);
  assert.match(out.mesh.status().attempts[0].error ?? "", /is excluded from the network/);
  network.kill(out);
  const renamed = network.start(9, keysOf(3));
  network.connect(renamed, a, b, c);
  await network.clock.run(60_000);
  assert.equal(renamed.mesh.status().connections.length, 0);
  for (const { mesh } of [a, b, c]) mesh.trust.include(simulatedSigner(3).identity);
  await network.clock.run(10 * 60_000);
  assertConnected([a, b, c, renamed]);
});

for (const end of ["excluded", "retired"] as const)
  test(`the names of a peer that is ${end} are not answered any more, and a confederate that relays new ones changes nothing`, async () => {
    const { network, peers } = await known(7);
    const [a, b, c, out] = peers;
    const names = peers.map((peer) => withNames(network, peer));
    names[1].add("c1", "10.32.1.1", `web.${DOMAIN}`);
    names[3].add("c3", "10.32.3.3", `web.${DOMAIN}`);
    names[3].add("c3", "10.32.3.3", `app.${DOMAIN}`);
    const mallory = new HostilePeer(network, 1);
    mallory.join(a);
    await network.clock.run(5_000);
    const directory = new PeerDirectory(a.mesh, memoryStore());
    const [web, app] = [`web.${DOMAIN}`, `app.${DOMAIN}`];
    for (const each of names) assert.deepEqual(each.lookup(app), ["10.32.3.3"]);
    assert.equal(directory.identity(out.name), simulatedSigner(3).identity);

    if (end === "retired") out.mesh.retire();
    else for (const { mesh } of [a, b, c]) mesh.trust.exclude(simulatedSigner(3).identity);
    await network.clock.run(100);
    const gone = () => {
      for (const each of names.slice(0, 3)) {
        assert.equal(each.lookup(app), undefined);
        assert.equal(each.reverse("10.32.3.3"), undefined);
        assert.deepEqual(each.lookup(web), ["10.32.1.1"]);
      }
      for (const { mesh } of [a, b, c]) assert.equal(mesh.peer(out.name), undefined);
    };
    gone();
    await network.clock.run(1_000);
    for (const { seen } of [a, b, c])
      assert.deepEqual(
        seen.filter((event) => event.endsWith(out.name)),
        [`suspended ${out.name}`, `forgotten ${out.name}`],
      );

    const incarnation = network.clock.wall();
    for (let version = 1; version < 30; version++) {
      const of = { origin: out.name, incarnation: incarnation + version, version: version + 1 };
      const fields = { hostname: app, address: "10.32.3.3", ident: `c${version}` };
      const state = signedState(NAME_FORMAT, simulatedSigner(3), of, [fields]);
      const payload = encodeReplicaMessage({ kind: "states", states: [state] });
      mallory.send(mallory.topology({ incarnation, version: 2 + version }, [mallory.linkTo(a), mallory.linkTo(out)]));
      mallory.send(mallory.topology(of, [mallory.linkTo(a)], simulatedSigner(3)));
      mallory.send({ kind: "push", channel: DNS_CHANNEL, from: mallory.name, payload });
      await network.clock.run(2_000);
      gone();
    }
    assert.ok((a.mesh.replicas.rejections.byNeighbour.get(mallory.name)?.["unknown-origin"] ?? 0) > 0);
    assert.equal(directory.identity(out.name), undefined);
    assert.equal(directory.isKnown("h3"), true, "rmpeer finds it");
    assert.equal(directory.nickname(out.name), "h3");
    await network.clock.run(20 * 60_000);
    gone();
    for (const { seen } of [a, b, c]) assert.equal(seen.filter((event) => event === `forgotten ${out.name}`).length, 1);
  });

test("a record of a pinned name with another identity is dropped at all peers, also while the owner is away", async () => {
  const { network, peers } = await known(5);
  const [a, b, c, owner] = peers;
  network.kill(owner);
  await network.clock.run(5 * 60_000);
  assert.equal(a.mesh.status().suspended.length, 1);
  const mallory = new HostilePeer(network, 1);
  mallory.join(a);
  await network.clock.run(1_000);
  const record = a.mesh.peer(owner.name)!;
  for (let i = 0; i < 200; i++) {
    const of = { origin: owner.name, incarnation: record.incarnation + i + 1, version: 1, nickname: record.nickname };
    mallory.send(mallory.topology(of, [], simulatedSigner(100 + i)));
  }
  await network.clock.run(5_000);
  for (const { mesh } of [a, b, c]) assert.equal(mesh.peer(owner.name)?.identity, simulatedSigner(3).identity);
  assert.equal(a.mesh.status().conflicts.length, 1, "invented identities are one line");
  const back = network.start(3);
  network.connect(back, a);
  await network.clock.run(60_000);
  assertConnected([a, b, c, back]);
});

test("a renamed peer is accepted under its new name, and no other peer gets its earlier one", async () => {
  const { network, peers } = await known(6);
  const [a, b, c, owner] = peers;
  network.kill(owner);
  await network.clock.run(10_000);
  const renamed = network.start(9, { ...keysOf(3), nickname: "renamed" });
  network.connect(renamed, a);
  await network.clock.run(60_000);
  assertConnected([a, b, c, renamed]);
  const other = network.start(10, { name: owner.name });
  network.connect(other, a, b, c);
  await network.clock.run(60_000);
  assert.equal(other.mesh.status().connections.length, 0);
  const names = (who: SimulatedPeer) =>
    who.mesh.trust.list().filter(({ identity }) => identity === simulatedSigner(3).identity);
  for (const peer of [a, b, c])
    assert.deepEqual(
      names(peer).map(({ name }) => name),
      [owner.name, renamed.name],
    );
});

test("a peer that is forgotten while it is reachable keeps its name when it leaves, by a session and by its record", async () => {
  const { network, peers } = await known(7);
  const [a, , , owner] = peers;
  const far = network.start(8, { discovery: false });
  network.drops = (_, from, to) => [from, to].sort().join() === [far.host, owner.host].sort().join();
  network.connect(far, a);
  await network.clock.run(30_000);
  assert.deepEqual([far.mesh.trust.get(owner.name)?.direct, a.mesh.trust.get(owner.name)?.direct], [false, true]);
  for (const { mesh } of [a, far]) {
    assert.equal(mesh.trust.forget(owner.name), true);
    assert.equal(mesh.trust.identityOf(owner.name), simulatedSigner(3).identity);
  }
  assert.deepEqual([far.mesh.trust.get(owner.name)?.direct, a.mesh.trust.get(owner.name)?.direct], [false, true]);
  network.kill(owner);
  await network.clock.run(60_000);
  const twin = network.start(9, { name: owner.name, discovery: false });
  network.connect(twin, a, far);
  await network.clock.run(10_000);
  assert.equal(twin.mesh.status().connections.length, 0);
});
