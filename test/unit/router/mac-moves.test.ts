import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HOLD_MS, LATE_MS, MAX_HOLD_MS, RECLAIM_MS } from "#router/datapath/mac-moves.js";
import { CAPACITY, MacTable, PEER_SHARE } from "#router/datapath/mac-table.js";

const [SELF, A, B, C, MAC] = [1, 2, 3, 4, 0xaa];

test("a container that moves is followed at once, from host to host and back", () => {
  const table = new MacTable(SELF);
  table.learn(MAC, A, 0);
  assert.equal(table.learn(MAC, B, 500_000), "moved");
  assert.equal(table.learn(MAC, C, 500_100), "moved");
  // Frames of the former host that were under way change nothing.
  assert.equal(table.learn(MAC, B, 500_200), "late");
  assert.equal(table.lookup(MAC), C);
  assert.equal(table.learn(MAC, A, 500_200 + LATE_MS), "moved");
  assert.equal(table.lookup(MAC), A);
  // Our own bridge is always believed.
  assert.equal(table.learn(MAC, SELF, 500_300 + LATE_MS), "moved");
});

test("a MAC that two peers claim stays with the one that had it longest, ever longer, and the claims are counted", () => {
  const table = new MacTable(SELF);
  let now = 3_600_000;
  table.learn(MAC, A, 0);
  let hold = HOLD_MS;
  let stolenMs = 0;
  for (let round = 0; round < 6; round++) {
    assert.equal(table.learn(MAC, B, now), "moved");
    const stolenAt = now;
    while (table.lookup(MAC) === B) {
      now += 10;
      table.learn(MAC, A, now);
    }
    stolenMs += now - stolenAt;
    assert.equal(table.learn(MAC, B, now + hold - 1), "held");
    assert.equal(table.learn(MAC, C, now + hold - 1), "held");
    assert.equal(table.lookup(MAC), A);
    now += hold;
    hold = Math.min(MAX_HOLD_MS, 2 * hold);
  }
  assert.ok(stolenMs <= 6 * LATE_MS, `${stolenMs} ms`);
  const claims = new Map(table.claims.map((each) => [each.peer, each]));
  assert.deepEqual(claims.get(B), { peer: B, moves: 6, held: 6, refused: 0, full: 0, mac: MAC, from: A });
  assert.equal(claims.get(C)?.held, 6);
});

test("a claim to a MAC of our bridge is refused and counted", () => {
  const table = new MacTable(SELF);
  table.learn(MAC, SELF, 0);
  assert.equal(table.learn(MAC, B, 1), "refused");
  assert.deepEqual(table.claims, [{ peer: B, moves: 0, held: 0, refused: 1, full: 0, mac: MAC, from: SELF }]);
});

test("one peer fills its share of the table alone, also by the MACs of others", () => {
  const table = new MacTable(SELF);
  for (let mac = 0; mac < PEER_SHARE; mac++) assert.equal(table.learn(mac, A, 0), "new");
  assert.equal(table.learn(PEER_SHARE, A, 0), "full");
  assert.equal(table.learn(PEER_SHARE, B, 0), "new");
  assert.equal(table.learn(PEER_SHARE, A, RECLAIM_MS), "full");
  assert.equal(table.lookup(PEER_SHARE), B);
  // What it gives up, it may have again.
  table.forget(A);
  assert.equal(table.learn(PEER_SHARE, A, RECLAIM_MS), "moved");
  assert.ok(CAPACITY >= 16 * PEER_SHARE);
});

test("the counts of each peer equal its entries, whatever happens", () => {
  const step = fc.record({
    kind: fc.constantFrom("learn", "learn", "learn", "release", "forget", "age"),
    mac: fc.nat(5),
    peer: fc.integer({ min: 1, max: 4 }),
    after: fc.constantFrom(0, 1, LATE_MS, RECLAIM_MS, MAX_HOLD_MS),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new MacTable(SELF);
      let now = 0;
      for (const { kind, mac, peer, after } of steps) {
        now += after;
        if (kind === "learn") {
          const result = table.learn(mac, peer, now);
          if (["new", "moved", "known"].includes(result)) assert.equal(table.lookup(mac), peer);
          else assert.notEqual(table.lookup(mac), peer);
        } else if (kind === "release") table.release(mac);
        else if (kind === "forget") table.forget(peer);
        else table.age(now);
        for (let each = 1; each <= 4; each++) {
          const entries = [...table.entries()].filter(([, entry]) => entry.peer === each);
          assert.equal(table.sizeOf(each), entries.length);
        }
      }
    }),
    { numRuns: 500 },
  );
});
