import assert from "node:assert/strict";
import type { SimulatedPeer } from "./network.js";

/** Asserts that these peers have the same topology, and routes for frames to one another. */
export function assertConnected(peers: readonly SimulatedPeer[]): void {
  assert.equal(new Set(peers.map(({ mesh }) => mesh.digest())).size, 1, "the peers have different topologies");
  for (const { mesh, name } of peers)
    for (const other of peers)
      if (other.name !== name) assert.ok(mesh.frameRoutes.unicast(other.name), `${name} has no route to ${other.name}`);
}

/** Asserts also that there are no other peers, and that a flood from each reaches every other exactly once. */
export function assertWhole(peers: readonly SimulatedPeer[]): void {
  assertConnected(peers);
  for (const { mesh } of peers) assert.equal(mesh.status().peers.length, peers.length);
  const byName = new Map(peers.map((peer) => [peer.name, peer]));
  for (const { name } of peers) {
    const reached = new Map<string, number>();
    const queue = [name];
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      for (const next of byName.get(at)!.mesh.frameRoutes.flood(name)) {
        reached.set(next, (reached.get(next) ?? 0) + 1);
        queue.push(next);
      }
    }
    assert.equal(reached.size, peers.length - 1, `a flood from ${name} does not reach all`);
    assert.ok(
      [...reached.values()].every((times) => times === 1),
      `a flood from ${name} reaches a peer twice`,
    );
  }
}
