import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { keyStart, type PeerRecord } from "#mesh/peer.js";
import { Routes } from "#mesh/topology/routes.js";
import {
  FORMER_ROUTE_MS,
  MAX_UNPROVEN,
  SourceGuard,
  SourceGuards,
  UNPROVEN_AGAIN_MS,
  UNPROVEN_MS,
} from "#router/datapath/source-guard.js";
import { frameRouteTable } from "#router/frames/route-table.js";
import { Memory } from "#src/linux/native/memory.js";
import { macFromNumber, macNumber } from "#src/mac.js";
import { systemRandom } from "#src/random.js";
import { End, free, pair, randomFrame } from "#test/fuzz/ends.js";

const name = (index: number) => macFromNumber(index + 1);

/** Records of a network with established links between the given pairs. */
function network(size: number, pairs: readonly (readonly [number, number])[]): PeerRecord[] {
  const links = Array.from({ length: size }, () => new Set<number>());
  for (const [a, b] of pairs) {
    if (a === b) continue;
    links[a].add(b);
    links[b].add(a);
  }
  const identity = "00".repeat(32);
  return links.map(
    (others, index) =>
      ({
        name: name(index),
        identity,
        links: [...others].map((to) => ({
          to: name(to),
          key: keyStart(identity),
          established: true,
          outbound: true,
          address: "",
        })),
      }) as unknown as PeerRecord,
  );
}

const graphs = fc
  .integer({ min: 2, max: 12 })
  .chain((size) =>
    fc.tuple(fc.constant(size), fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 3 * size })),
  );

test("every record that follows the routes of all peers is proven at each hop, and at no peer off the shortest paths", () => {
  let relayed = 0;
  fc.assert(
    fc.property(graphs, ([size, pairs]) => {
      const records = network(size, pairs);
      const routes = records.map((record) => new Routes(record.name, records, "established"));
      const guards = routes.map((each) => {
        const all = new SourceGuards();
        all.update(frameRouteTable(each, macNumber).relays, 0);
        return all;
      });
      const indexOf = (peer: string) => macNumber(peer) - 1;
      const judged = (at: number, from: number, source: number) => guards[at].of(from + 1).judge(source + 1, 1);
      for (let source = 0; source < size; source++) {
        for (let dest = 0; dest < size; dest++) {
          let at = source;
          for (let hops = 0; at !== dest && hops < size; hops++) {
            const next = routes[at].unicast(name(dest));
            if (next === undefined) break;
            assert.equal(judged(indexOf(next), at, source), "proven");
            if (hops > 0) relayed++;
            at = indexOf(next);
          }
        }
        const queue = [source];
        for (const at of queue)
          for (const next of routes[at].flood(name(source))) {
            assert.equal(judged(indexOf(next), at, source), "proven");
            queue.push(indexOf(next));
          }
        // A neighbour of the source receives its frames from the source alone.
        for (const at of routes[source].nearer().keys())
          if (routes[source].unicast(at) === at)
            for (let other = 0; other < size; other++)
              if (other !== source && other !== indexOf(at))
                assert.notEqual(judged(indexOf(at), other, source), "proven");
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(relayed > 1_000, `${relayed} hops of relayed frames`);
});

test("a former route proves a source for its time, and a route that is not known yet delivers without learning", () => {
  const guard = new SourceGuard(7);
  assert.equal(guard.judge(7, 0), "proven");
  guard.update([1, 2], 0);
  assert.equal(guard.judge(1, 10 * FORMER_ROUTE_MS), "proven");
  guard.update([2], 1_000);
  guard.update([2], 2_000);
  assert.equal(guard.judge(1, 1_000 + FORMER_ROUTE_MS - 1), "proven");
  const end = 1_000 + FORMER_ROUTE_MS;
  assert.equal(guard.judge(1, end), "unproven");
  assert.equal(guard.judge(1, end + UNPROVEN_MS - 1), "unproven");
  assert.equal(guard.judge(1, end + UNPROVEN_MS), "refused");
  assert.equal(guard.judge(1, end + UNPROVEN_AGAIN_MS - 1), "refused");
  assert.equal(guard.judge(2, end), "proven");
  assert.deepEqual(guard.claims, { neighbour: 7, source: 1, unproven: 2, refused: 2 });
  // A change of the routes gives no further period: the neighbour can cause changes.
  guard.update([2, 3], end + UNPROVEN_MS + 1);
  assert.equal(guard.judge(1, end + UNPROVEN_MS + 2), "refused");
  assert.equal(guard.judge(1, end + UNPROVEN_AGAIN_MS), "unproven");
  guard.update([1], end + UNPROVEN_AGAIN_MS);
  assert.equal(guard.judge(1, Number.MAX_SAFE_INTEGER), "proven");
});

test("a neighbour that claims ever new sources fills no memory, and its routes go on", () => {
  const guards = new SourceGuards();
  guards.update(new Map([[7, [1]]]), 0);
  const guard = guards.of(7);
  for (let source = 100; source < 100 + MAX_UNPROVEN; source++) assert.equal(guard.judge(source, 1), "unproven");
  for (let source = 0; source < 1_000; source++) assert.equal(guard.judge(10_000 + source, 1), "refused");
  assert.equal(guard.judge(1, 1), "proven");
  assert.equal(guard.judge(7, 1), "proven");
  assert.equal(guards.claims()[0].refused, 1_000);
  // A neighbour that is gone leaves nothing.
  guards.update(new Map(), 1);
  guards.expire(1 + Math.max(FORMER_ROUTE_MS, UNPROVEN_AGAIN_MS), new Set());
  assert.deepEqual(guards.claims(), []);
});

test("the frame path learns a MAC from the routes' neighbours alone, and drops what another neighbour says of a peer", async () => {
  const [, b] = await pair(1_400);
  const FORGED = 3;
  // The other end of the session of peer 1 sends in the name of peer 3.
  const relay = new End(FORGED, await free());
  relay.join(b, 1, 2, 1_400);
  const memory = new Memory(4_096);
  const send = (mac: number, now: number) => {
    const frame = randomFrame(systemRandom, mac, 100);
    memory.u8.set(frame);
    relay.switch.captured(memory, 0, frame.length);
    // A flood of End goes to the branches of its peer.
    relay.transmitter.flush();
    b.switch.tick(now);
    b.receiver.tick(now);
    b.pump();
    return b.taken().length > 0;
  };
  relay.switch.routes = { unicast: new Map(), flood: new Map([[FORGED, [1]]]) };
  const learned = (mac: number) => b.switch.macs.lookup(0x020000000000 + mac);
  assert.ok(send(10, 0));
  assert.equal(learned(10), undefined);
  assert.equal(send(11, UNPROVEN_MS), false);
  assert.equal(b.tally.drops["source-refused"], 1);
  assert.ok(
    b.events.some((event) => event.event === "source-refused" && event.neighbour === 1 && event.source === FORGED),
  );
  b.switch.guards.update(new Map([[1, [FORGED]]]), UNPROVEN_MS);
  assert.ok(send(12, UNPROVEN_MS));
  assert.equal(learned(12), FORGED);
});
