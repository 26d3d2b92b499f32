import assert from "node:assert/strict";
import { test } from "node:test";
import { oneSecret } from "#mesh/secrets.js";
import { Network, type SimulatedPeer } from "./network.js";

/** Changes of the network's secret between complete meshes; the state machine alone is tested in test/unit/mesh/rekey. */

const secretOf = (password: number): Uint8Array => new Uint8Array(32).fill(password);
const passwordsOf = ({ mesh }: SimulatedPeer): (number | undefined)[] =>
  (mesh.secrets as ReturnType<typeof oneSecret>).accepted.map((each) => each?.key[0]);
const request = (password: number) => ({
  key: secretOf(password),
  excluded: [],
  deadlineMs: 900_000,
  acceptEarlierMs: 0,
});

/** Peers with the password 1, all connected to one another. */
async function network(seed: number, count: number): Promise<[Network, SimulatedPeer[]]> {
  const net = new Network(seed);
  const peers = Array.from({ length: count }, (_, index) => net.start(index, { secrets: oneSecret(secretOf(1)) }));
  for (const peer of peers.slice(1)) net.connect(peer, peers[0]);
  await net.clock.run(30_000);
  for (const { mesh } of peers) assert.equal(mesh.status().connections.length, count - 1);
  return [net, peers];
}

test("eight meshes change the secret: no connection ends, and all confirm", async () => {
  const [net, peers] = await network(1, 8);
  const before = peers.map(({ mesh }) => mesh.status().connections);
  const ended = peers.map(({ mesh }) => mesh.status().terminations);
  const bytes = net.bytes;
  peers[3].mesh.rekey.order(request(2));
  await net.clock.run(1_000);
  for (const peer of peers) assert.equal(passwordsOf(peer)[0], 2);
  assert.ok((net.bytes - bytes) / 20 < 64_000, `${Math.round((net.bytes - bytes) / 8)} bytes a peer`);
  await net.clock.run(60_000);
  for (const [index, peer] of peers.entries()) {
    assert.deepEqual(passwordsOf(peer), [2], "the earlier secret is gone");
    assert.deepEqual(peer.mesh.rekey.status().lacking, []);
    const { connections, terminations } = peer.mesh.status();
    assert.deepEqual(connections, before[index]);
    assert.equal(terminations, ended[index]);
  }
  const late = net.start(30, { secrets: oneSecret(secretOf(2)) });
  net.connect(late, peers[0]);
  await net.clock.run(30_000);
  assert.equal(late.mesh.status().connections.length, 8);
  assert.equal(late.mesh.rekey.status().order?.by.nickname, "h3", "a new peer receives the order");
});

test("an excluded peer is cut off at all meshes, and neither its identity nor its password lets it return", async () => {
  const [net, peers] = await network(2, 9);
  const [excluded, ...others] = [peers[7], ...peers.filter((_, index) => index !== 7)];
  const { name, identity } = excluded.mesh.status().self;
  peers[0].mesh.rekey.order({ ...request(2), excluded: [{ name, identity }] });
  await net.clock.run(5_000);
  for (const { mesh } of others) {
    assert.equal(mesh.status().connections.length, 7);
    assert.equal(mesh.connectionTo(name), undefined);
    assert.equal(mesh.trust.judge({ name, identity }), "excluded");
  }
  assert.equal(excluded.mesh.status().connections.length, 0);
  assert.deepEqual(passwordsOf(excluded), [1]);
  const sybil = net.start(40, { secrets: oneSecret(secretOf(1)) });
  for (const { host } of others) sybil.mesh.connect([{ text: host, address: `${host}:6783`, port: true }], false);
  await net.clock.run(600_000);
  assert.equal(excluded.mesh.status().connections.length, 0);
  assert.equal(sybil.mesh.status().connections.length, 0);
  for (const { mesh } of others) assert.equal(mesh.status().peers.length, 8);
});
