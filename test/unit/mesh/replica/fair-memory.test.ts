import assert from "node:assert/strict";
import { test } from "node:test";
import { Assemblies } from "#mesh/replica/assemblies.js";
import type { StateMessage } from "#mesh/replica/replica-message.js";
import { Group, nameOf, stateOf, statesPayload, WORDS, type Word, wordsOf } from "./words.js";

const [ALICE, BOB, CAROL, DAVE, MALLORY, MALLET, TRUDY] = [1, 2, 3, 4, 9, 10, 11];
/** Two of them have a half of the memory each, at most. */
const HOSTILE = [MALLORY, MALLET, TRUDY];
const SHARE_BYTES = 2 << 20;

const words = (text: string, count: number): Word[] =>
  Array.from({ length: count }, (_, i) => ({ word: `${text}${i} ${"x".repeat(900)}` }));

/** Delivers a state of an origin to Bob. */
function say(group: Group<Word>, origin: number, neighbour: number, grown = false): void {
  group.known.add(origin);
  const incarnation = group.clock.wall() + (grown ? 1 : 0);
  const state = stateOf(WORDS, origin, { incarnation, fields: words("a", grown ? 60 : 40) });
  group.inject(BOB, neighbour, statesPayload(state));
}

/** Bob's memory is full of small origins of hostile neighbours. */
function flooded(): { group: Group<Word>; has: (origin: number) => boolean } {
  const group = new Group(WORDS);
  const bob = group.start(BOB, { shareBytes: SHARE_BYTES });
  for (const neighbour of HOSTILE) for (let i = 0; i < 60; i++) say(group, 100 * neighbour + i, neighbour);
  assert.ok(bob.heapBytes > 0.95 * SHARE_BYTES, `${bob.heapBytes} bytes`);
  return { group, has: (origin) => bob.of(nameOf(origin)).length > 0 };
}

test("hostile neighbours that fill the memory keep out no newcomer, and cannot displace it afterwards", () => {
  const { group, has } = flooded();
  for (const [origin, neighbour] of [
    [ALICE, ALICE],
    [CAROL, ALICE],
    [DAVE, DAVE],
  ])
    say(group, origin, neighbour);
  assert.deepEqual([ALICE, CAROL, DAVE].map(has), [true, true, true]);
  // Their older origins grow, and new ones appear.
  for (const neighbour of HOSTILE)
    for (let i = 0; i < 60; i++) {
      say(group, 100 * neighbour + i, neighbour, true);
      say(group, 100 * neighbour + 60 + i, neighbour);
    }
  assert.deepEqual([ALICE, CAROL, DAVE].map(has), [true, true, true]);
});

test("a newcomer that a hostile neighbour delivers first, and loses, comes by another one", () => {
  const { group, has } = flooded();
  for (let i = 0; i < 6; i++) say(group, 20 + i, ALICE);
  // It is charged to a hostile neighbour, and the next newcomer displaces it.
  say(group, CAROL, MALLORY);
  for (let i = 0; i < 6; i++) say(group, 30 + i, ALICE);
  say(group, CAROL, DAVE);
  assert.ok(has(CAROL));
  assert.ok(wordsOf(group.members.get(nameOf(BOB))!).length > 0);
});

test("a neighbour has its equal part of a full memory: it displaces others up to it, and no further", () => {
  const { group } = flooded();
  const before = group.rejected(BOB)["total-budget"];
  const bob = group.members.get(nameOf(BOB))!;
  for (let i = 0; i < 60; i++) say(group, 4_000 + i, ALICE);
  const of = (first: number) => Array.from({ length: 60 }, (_, i) => bob.of(nameOf(first + i)).length).filter(Boolean);
  const counts = [...HOSTILE.map((neighbour) => of(100 * neighbour)), of(4_000)].map(({ length }) => length);
  assert.ok(Math.max(...counts) - Math.min(...counts) <= 2, `${counts} origins`);
  assert.ok(group.rejected(BOB)["total-budget"] > before);
});

/** A part of a state with one record of this many bytes. */
function part(neighbour: number, number: number, bytes: number, isLast = false): StateMessage {
  const hash = new Uint8Array(32);
  const head = { origin: nameOf(neighbour), incarnation: 1, version: 1, horizon: 0, signature: new Uint8Array(64) };
  return { ...head, since: 0, records: ["x".repeat(bytes)], part: { number, isLast, hash } };
}

test("incomplete states: a neighbour that begins large ones drops its own, and those of others become complete", () => {
  const assemblies = new Assemblies();
  const slow = nameOf(ALICE);
  assemblies.add(slow, part(ALICE, 0, 400_000));
  // Of five hostile neighbours each begins states again and again, and ends none.
  for (let round = 0; round < 3; round++)
    for (let neighbour = 10; neighbour < 15; neighbour++)
      for (let number = 0; number < 12; number++) {
        const next = part(neighbour, number, 60_000);
        if (number === 0 || assemblies.continues(nameOf(neighbour), next)) assemblies.add(nameOf(neighbour), next);
      }
  const last = part(ALICE, 1, 60_000, true);
  assert.ok(assemblies.continues(slow, last));
  assert.equal(assemblies.add(slow, last)?.records.length, 2);
});

test("incomplete states are at most 2 MB in sum, also of one neighbour", () => {
  const assemblies = new Assemblies();
  let parts = 0;
  for (; parts === 0 || assemblies.continues(nameOf(MALLORY), part(MALLORY, parts, 60_000)); parts++)
    assemblies.add(nameOf(MALLORY), part(MALLORY, parts, 60_000));
  assert.ok(parts * 60_000 > 2 << 19 && (parts - 1) * 60_000 <= 2 << 20, `${parts} parts`);
});
