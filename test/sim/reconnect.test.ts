import assert from "node:assert/strict";
import { test } from "node:test";
import { withEvents } from "./event-peers.js";
import { DOMAIN, withNames } from "./name-peers.js";
import { Network } from "./network.js";
import { seededRandom } from "./virtual-time.js";

/** Number of names that one of the peers has. */
const NAMES = 50;

test("sets arrive though the first connection is replaced while they are compared", async () => {
  const late: string[] = [];
  let replaced = 0;
  // The second dial opens before, during and after the comparison over the first connection, and its rank decides which one stays.
  for (let afterMs = 0; afterMs <= 400; afterMs += 20) {
    const network = new Network(afterMs, 40);
    const [a, b] = [0, 1].map((index) => network.start(index));
    const names = [a, b].map((peer) => withNames(network, peer));
    for (let i = 0; i < NAMES; i++) names[0].add(`c${i}`, `10.32.0.${i}`, `c${i}.${DOMAIN}`);
    const journals = [a, b].map((peer) => withEvents(network, peer));
    network.connect(a, b);
    network.clock.after(afterMs, () => network.connect(b, a));
    await network.clock.run(5_000);
    replaced += a.mesh.status().terminations;
    const events = journals.map((journal) => journal.after("").filter(({ kind }) => kind === "started").length);
    if (names[1].size !== NAMES) late.push(`${afterMs} ms: ${names[1].size} names`);
    if (events.some((count) => count !== 2)) late.push(`${afterMs} ms: ${events} peers have started`);
  }
  assert.ok(replaced >= 5, `${replaced} connections were replaced`);
  assert.deepEqual(late, []);
});

test("a removal while a peer starts again is known within seconds of its connection, whichever end dials first", async () => {
  const late: string[] = [];
  for (let seed = 0; seed < 60; seed++) {
    const random = seededRandom(seed);
    const delayMs = [40, 100, 250][random.below(3)];
    const network = new Network(seed, delayMs);
    const disk = new Map<string, unknown>();
    const [a, b] = [0, 1].map((index) => network.start(index));
    const namesOfA = withNames(network, a, disk);
    const namesOfB = withNames(network, b);
    for (const ident of ["x", "y"]) namesOfA.add(ident, "10.32.0.1", `${ident}.${DOMAIN}`);
    network.connect(a, b);
    network.connect(b, a);
    await network.clock.run(10_000);
    assert.deepEqual([namesOfB.size], [2]);
    namesOfA.stop();
    a.mesh.stop();
    network.peers.delete(`${a.host}:6783`);
    await network.clock.run(random.below(2_000));
    const again = network.start(0);
    withNames(network, again, disk).remove({ ident: "x" });
    network.connect(again, b);
    const isConnected = () => again.mesh.status().connections.some(({ state }) => state === "established");
    while (!isConnected()) await network.clock.run(delayMs);
    await network.clock.run(3_000);
    if (namesOfB.size !== 1) late.push(`seed ${seed}`);
  }
  assert.deepEqual(late, []);
});
