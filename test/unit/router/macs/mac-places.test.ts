import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CAPACITY, PEER_SHARE } from "#router/datapath/mac-table.js";
import { FREEZE_MOVES, FREEZE_WINDOW_MS, HELD_MS, LONE_SEQ, MacPlaces, SETTLE_MS } from "#router/macs/mac-places.js";
import { MAX_SEQ } from "#router/macs/mac-record.js";
import { macFromNumber } from "#src/mac.js";

const MAC = "02:cc:00:00:00:01";
const SELF = "02:00:00:00:00:01";
const [A, B, C] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"];

test("a MAC is at the peer that announces it, and nowhere when none does", () => {
  const places = new MacPlaces(SELF);
  assert.equal(places.announce(MAC, A, 0, 0), "moved");
  assert.equal(places.announce(MAC, A, 0, 1), "same");
  assert.deepEqual([places.at(MAC), places.size, places.sizeOf(A)], [A, 1, 1]);
  assert.equal(places.withdraw(MAC, B, 2), "same");
  assert.equal(places.withdraw(MAC, A, 3), "moved");
  assert.deepEqual([places.at(MAC), places.size, places.sizeOf(A)], [undefined, 0, 0]);
});

test("the higher sequence number counts, of equal ones that of the lower name, in any order of messages", () => {
  const claims = fc.uniqueArray(fc.tuple(fc.constantFrom(A, B, C), fc.nat(3)), {
    minLength: 1,
    selector: ([peer]) => peer,
  });
  fc.assert(
    fc.property(claims, (list) => {
      const best = [...list].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0][0];
      for (const order of [list, [...list].reverse()]) {
        const places = new MacPlaces(SELF);
        for (const [peer, seq] of order) places.announce(MAC, peer, seq, 0);
        assert.equal(places.at(MAC), best);
      }
    }),
  );
});

test("a MAC that moves to and fro is frozen at the peer that had it longest, until one alone announces it", () => {
  const places = new MacPlaces(SELF);
  places.announce(MAC, A, 0, 0);
  let seq = 0;
  for (let move = 1; move < FREEZE_MOVES; move++) {
    assert.equal(places.announce(MAC, move % 2 === 1 ? B : A, ++seq, 100_000 + move), "moved");
    assert.equal(places.isFrozen(MAC), false);
  }
  places.announce(MAC, FREEZE_MOVES % 2 === 1 ? B : A, ++seq, 101_000);
  assert.deepEqual(places.frozen, [{ mac: MAC, at: A, others: [B] }]);
  // Further claims do not move it.
  assert.equal(places.announce(MAC, B, 100, 102_000), "same");
  assert.equal(places.at(MAC), A);
  places.withdraw(MAC, B, 103_000);
  assert.deepEqual([places.at(MAC), places.frozen], [A, []]);
});

test("a peer that knows only the last of many moves freezes the MAC as well", () => {
  const places = new MacPlaces(SELF);
  places.announce(MAC, A, 0, 0);
  places.announce(MAC, B, FREEZE_MOVES, 60_000);
  assert.deepEqual(places.frozen, [{ mac: MAC, at: A, others: [B] }]);
});

test("a number between one that a host had and the lower one that it has now is a move as well", () => {
  const places = new MacPlaces(SELF);
  places.announce(MAC, A, 20, 0);
  places.announce(MAC, B, 1, SETTLE_MS);
  // A answers the number that is far below its own.
  places.announce(MAC, A, 2, SETTLE_MS + 1);
  assert.equal(places.topOf(MAC), 2);
  assert.equal(places.announce(MAC, B, 2 + FREEZE_MOVES, SETTLE_MS + 2), "same");
  assert.deepEqual(places.frozen, [{ mac: MAC, at: A, others: [B] }]);
});

test("the owner of a frozen MAC that restarts its container has it again, now and later", () => {
  for (const after of [1_000, FREEZE_WINDOW_MS + 1_000]) {
    const places = new MacPlaces(SELF);
    places.announce(MAC, A, 0, 0);
    places.announce(MAC, B, MAX_SEQ, 3_600_000);
    assert.deepEqual(places.frozen, [{ mac: MAC, at: A, others: [B] }]);
    const restart = 3_600_000 + after;
    places.withdraw(MAC, A, restart);
    assert.deepEqual([places.at(MAC), places.isFrozen(MAC)], [B, false]);
    places.announce(MAC, A, places.topOf(MAC) + 1, restart + 5_000);
    assert.equal(places.at(MAC), A);
    // The other one raises its number again, by as much as it likes.
    for (let time = 1; time <= 20; time++) places.announce(MAC, B, MAX_SEQ - time, restart + 5_000 + time);
    assert.deepEqual(places.frozen, [{ mac: MAC, at: A, others: [B] }]);
  }
});

test("a host that lost a MAC long ago counts as one that had it no more", () => {
  const places = new MacPlaces(SELF);
  places.announce(MAC, A, 0, 0);
  places.announce(MAC, B, 1, 3_600_000);
  places.withdraw(MAC, A, 3_600_001);
  places.announce(MAC, A, 1 + FREEZE_MOVES, 3_600_000 + HELD_MS);
  assert.deepEqual(places.frozen, [{ mac: MAC, at: B, others: [A] }]);
});

test("a MAC for which a host has taken the highest number still moves among others", () => {
  const places = new MacPlaces(SELF);
  places.announce(MAC, A, 0, 0);
  places.announce(MAC, B, MAX_SEQ, 60_000);
  places.withdraw(MAC, B, 60_001);
  assert.ok(places.topOf(MAC) <= FREEZE_MOVES);
  const later = 60_000 + FREEZE_WINDOW_MS;
  places.announce(MAC, C, places.topOf(MAC) + 1, later);
  assert.deepEqual([places.at(MAC), places.isFrozen(MAC)], [C, false]);
});

test("a MAC that a host has alone, with the highest number, is had by the next host that announces it", () => {
  const places = new MacPlaces(SELF);
  places.announce(MAC, B, MAX_SEQ, 0);
  assert.equal(places.topOf(MAC), LONE_SEQ);
  assert.equal(places.announce(MAC, A, places.topOf(MAC) + 1, 3_600_000), "moved");
  assert.deepEqual([places.at(MAC), places.isFrozen(MAC)], [A, false]);
  // The same number again counts as moves, of which there are too many: the one that had it longest has it, and it is named.
  places.announce(MAC, B, MAX_SEQ, 3_600_001);
  assert.deepEqual(places.frozen, [{ mac: MAC, at: B, others: [A] }]);
});

test("at a host that starts, a number far above another's has no MAC, in any order of messages", () => {
  const far = fc.tuple(fc.nat(50), fc.oneof(fc.constant(MAX_SEQ), fc.integer({ min: FREEZE_MOVES, max: 1_000_000 })));
  fc.assert(
    fc.property(far, fc.nat(SETTLE_MS - 1), fc.boolean(), ([seq, more], later, first) => {
      const places = new MacPlaces(SELF);
      const claims = [[A, seq] as const, [B, Math.min(MAX_SEQ, seq + more)] as const];
      for (const [i, [peer, number]] of (first ? claims : claims.toReversed()).entries())
        places.announce(MAC, peer, number, i * later);
      assert.equal(places.at(MAC), A);
      // And it stays there.
      places.announce(MAC, B, MAX_SEQ, SETTLE_MS + later + 1);
      assert.equal(places.at(MAC), A);
    }),
  );
});

test("moves that are further apart, and those of a container that one host ends before another starts it, freeze nothing", () => {
  const places = new MacPlaces(SELF);
  let now = 0;
  for (let seq = 0; seq < 20; seq++, now += FREEZE_WINDOW_MS / 2) places.announce(MAC, seq % 2 === 0 ? A : B, seq, now);
  assert.deepEqual(places.frozen, []);
  const other = "02:cc:00:00:00:02";
  for (let move = 0; move < 20; move++) {
    const [from, to] = move % 2 === 0 ? [A, B] : [B, A];
    places.withdraw(other, from, now + move);
    places.announce(other, to, places.topOf(other) + 1, now + move);
  }
  assert.equal(places.at(other), A);
  assert.deepEqual(places.frozen, []);
});

test("a peer fills no more than its share, and another peer's MACs still fit", () => {
  const places = new MacPlaces(SELF);
  for (let i = 0; i < PEER_SHARE; i++)
    assert.equal(places.announce(macFromNumber(0x020000000000 + i), A, 0, 0), "moved");
  // As one that announces a million does.
  for (let i = PEER_SHARE; i < 1_000_000; i++)
    if (places.announce(`${i}`, A, 0, 0) !== "full") assert.fail(`${i} MACs`);
  assert.equal(places.size, PEER_SHARE);
  assert.equal(places.announce("02:ff:00:00:00:00", A, 0, 0), "full");
  assert.equal(places.at("02:ff:00:00:00:00"), undefined);
  assert.equal(places.announce("02:ff:00:00:00:00", B, 0, 0), "moved");
  places.withdraw(macFromNumber(0x020000000000), A, 0);
  assert.equal(places.announce("02:ff:00:00:00:01", A, 0, 0), "moved");
  assert.equal(places.sizeOf(A), PEER_SHARE);
});

test("however many MACs others announce, those of this host have places", () => {
  const places = new MacPlaces(SELF);
  let next = 0x020000000000;
  const fill = (peer: string) => {
    while (places.announce(macFromNumber(next), peer, 0, 0) !== "full") next++;
    return places.sizeOf(peer);
  };
  places.announce("02:ff:00:00:00:00", SELF, 0, 0);
  for (let peer = 0x10; peer < 0x28; peer++) fill(`02:00:00:00:00:${peer.toString(16)}`);
  assert.equal(places.size, CAPACITY - PEER_SHARE + 1);
  assert.equal(fill(SELF), PEER_SHARE);
  assert.equal(places.size, CAPACITY);
});

test("sizes equal the announcements, whatever happens", () => {
  const step = fc.tuple(fc.constantFrom(A, B, C), fc.nat(4), fc.nat(6), fc.boolean());
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const places = new MacPlaces(SELF);
      const model = new Map<string, Set<string>>();
      steps.forEach(([peer, index, seq, announces], now) => {
        const mac = macFromNumber(0x020000000000 + index);
        const peers = model.get(mac) ?? new Set<string>();
        model.set(mac, peers);
        if (announces) {
          places.announce(mac, peer, seq, now);
          peers.add(peer);
        } else {
          places.withdraw(mac, peer, now);
          peers.delete(peer);
        }
      });
      for (const [mac, peers] of model) {
        const at = places.at(mac);
        assert.equal(at !== undefined && peers.has(at), peers.size > 0);
        if (places.isFrozen(mac)) assert.ok(peers.size > 1);
      }
      for (const peer of [A, B, C])
        assert.equal(places.sizeOf(peer), [...model.values()].filter((peers) => peers.has(peer)).length);
      assert.equal(places.size, [...model.values()].filter((peers) => peers.size > 0).length);
    }),
  );
});
