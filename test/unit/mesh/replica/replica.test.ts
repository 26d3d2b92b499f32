import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import { RecordIndex } from "#mesh/replica/record-index.js";
import {
  encodeReplicaMessage,
  encodeVersion,
  MAX_SET_MESSAGE_BYTES,
  type StateMessage,
} from "#mesh/replica/replica-message.js";
import { memoryStore } from "#src/store.js";
import { Group, nameOf, signerOf, stateOf, statesPayload, WORDS, type Word, wordsOf } from "./words.js";

const word = (text: string): Word => ({ word: text });
const [ALICE, BOB, CAROL, MALLORY] = [1, 2, 3, 9];

type Change = { word: string; what: "add" | "remove" | "expire" | "restart" };
const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.record({
    word: fc.constantFrom("a", "b", "c"),
    what: fc.constantFrom("add", "add", "remove", "remove", "expire", "restart"),
  }),
  { maxLength: 20 },
);

/** Plays changes at an owner. @returns every message that it gossiped, its whole states among them, and its last whole state */
async function play(history: readonly Change[]): Promise<{ sent: Uint8Array[]; last: Uint8Array }> {
  const disk = new Map<string, unknown>();
  const group = new Group(WORDS);
  let starts = 0;
  const start = () => group.start(ALICE, { incarnation: ++starts, store: memoryStore(disk), storePrefix: "w/" });
  let owner = start();
  const whole: Uint8Array[] = [];
  const note = async () => {
    const listener = new Group(WORDS);
    listener.known.add(ALICE);
    await group.clock.run(50);
    group.start(CAROL);
    await group.repair();
    whole.push(...group.sent.filter(({ to }) => to === nameOf(CAROL)).map(({ payload }) => payload));
    group.members.delete(nameOf(CAROL));
  };
  for (const { word: text, what } of history) {
    if (what === "add") owner.add(word(text));
    else if (what === "remove") owner.remove((record) => record.word === text);
    // Tombstones live for half an hour.
    else if (what === "expire") await group.clock.run(40 * 60_000);
    else {
      owner.stop();
      owner = start();
    }
    await group.clock.run(50);
  }
  await note();
  const sent = group.sent.filter(({ to }) => to === undefined).map(({ payload }) => payload);
  owner.stop();
  return { sent: [...sent, ...whole], last: whole.at(-1)! };
}

test("messages may be lost, repeated and reordered: with the owner's last state all replicas are equal", async () => {
  await fc.assert(
    fc.asyncProperty(changes, fc.infiniteStream(fc.nat()), fc.nat(30), async (history, picks, count) => {
      const { sent, last } = await play(history);
      const received = [...picks.take(count)].map((pick) => sent[pick % sent.length]);
      const make = (payloads: readonly Uint8Array[]) => {
        const group = new Group(WORDS);
        const replica = group.start(BOB);
        group.known.add(ALICE);
        for (const payload of payloads) group.inject(BOB, ALICE, payload);
        return wordsOf(replica).concat(JSON.stringify(replica.version(nameOf(ALICE))));
      };
      const truth = make([last]);
      for (const at of [0, Math.floor(count / 2), count])
        assert.deepEqual(make([...received.slice(0, at), last, ...received.slice(at)]), truth);
    }),
    { numRuns: 60 },
  );
});

test("changes arrive by gossip, one signature for all changes of 20 ms", async () => {
  const group = new Group(WORDS);
  const [alice, bob] = [group.start(ALICE), group.start(BOB)];
  await group.repair();
  group.sent.length = 0;
  for (let i = 0; i < 100; i++) alice.add(word(`w${i}`));
  await group.clock.run(100);
  assert.equal(bob.size, 100);
  assert.ok(group.sent.length <= 2, `${group.sent.length} messages`);
  assert.equal(alice.update({ put: [word("w1"), word("x")], drop: (record) => record.word !== "w2" }), 99);
  await group.clock.run(100);
  assert.deepEqual(wordsOf(bob), ["1 w1", "1 w2", "1 x"]);
  assert.equal(group.digests().size, 1);
});

test("a delta of one record with its head has less than 100 bytes beside the record", async () => {
  const group = new Group(WORDS);
  const alice = group.start(ALICE);
  for (let i = 0; i < 300; i++) alice.add(word(`word ${i}`));
  await group.clock.run(100);
  group.sent.length = 0;
  alice.add(word("x".repeat(40)));
  await group.clock.run(100);
  const [{ payload }] = group.sent;
  assert.ok(payload.length < 140, `${payload.length} bytes`);
});

test("what a peer missed comes by repair, from any peer, as the changes since its version", async () => {
  const group = new Group(WORDS);
  const [alice, bob] = [group.start(ALICE), group.start(BOB)];
  for (let i = 0; i < 200; i++) alice.add(word(`word number ${i}`));
  await group.clock.run(100);
  const carol = group.start(CAROL);
  await group.repair();
  assert.equal(carol.size, 200);
  group.members.delete(nameOf(CAROL));
  alice.add(word("late"));
  alice.remove((record) => record.word === "word number 7");
  await group.clock.run(100);
  // The owner is away: another peer has what it signed.
  group.members.delete(nameOf(ALICE));
  group.members.set(nameOf(CAROL), carol);
  group.sent.length = 0;
  await group.repair();
  assert.deepEqual(wordsOf(carol), wordsOf(bob));
  const largest = Math.max(...group.sent.map(({ payload }) => payload.length));
  assert.ok(largest < 400, `${largest} bytes for two changes`);
});

test("a removal that a peer missed is applied by the horizon, after its tombstone has expired", async () => {
  const group = new Group(WORDS);
  const [alice, bob] = [group.start(ALICE), group.start(BOB)];
  alice.add(word("a"));
  alice.add(word("b"));
  await group.clock.run(100);
  group.connected = false;
  alice.remove((record) => record.word === "a");
  await group.clock.run(40 * 60_000);
  assert.equal([...alice.all()].length, 1, "the tombstone is still there");
  group.connected = true;
  await group.repair();
  assert.deepEqual(wordsOf(bob), ["1 b"]);
  assert.equal(group.digests().size, 1);
});

test("thousands of records go in messages of at most 64 KB, and arrive", async () => {
  const group = new Group(WORDS);
  const alice = group.start(ALICE);
  for (let i = 0; i < 400; i++) alice.add(word(`${i} ${"x".repeat(900)}`));
  const bob = group.start(BOB);
  await group.repair();
  assert.equal(bob.size, 400);
  assert.ok(Math.max(...group.sent.map(({ payload }) => payload.length)) <= MAX_SET_MESSAGE_BYTES);
  alice.update({ put: Array.from({ length: 200 }, (_, i) => word(`${i} ${"y".repeat(900)}`)), drop: () => true });
  await group.clock.run(3_000);
  assert.equal(bob.size, 200, "a change that is too long for gossip is offered, and requested");
});

test("an exchange that is cut off after any message begins again with the next connection", async () => {
  for (let arrived = 0; arrived < 16; arrived++) {
    const group = new Group(WORDS);
    const alice = group.start(ALICE);
    for (let i = 0; i < 600; i++) alice.add(word(`${i} ${"x".repeat(900)}`));
    await group.clock.run(1_000);
    const bob = group.start(BOB);
    group.reconnect(arrived);
    // The answer has begun, and is not complete.
    await group.clock.run(30);
    assert.equal(bob.size, 0);
    group.reconnect();
    await group.clock.run(1_000);
    assert.equal(bob.size, 600, `after ${arrived} messages`);
  }
});

test("what was requested over a lost connection is requested again", async () => {
  const group = new Group(WORDS);
  group.known.add(ALICE);
  const bob = group.start(BOB);
  const notice = encodeVersion({ origin: nameOf(ALICE), incarnation: 1, version: 1 });
  assert.equal(bob.onNotice(notice, nameOf(ALICE)), true);
  assert.equal(bob.onNotice(notice, nameOf(ALICE)), false);
  bob.connected(nameOf(ALICE));
  assert.equal(bob.onNotice(notice, nameOf(ALICE)), true);
});

test("size, index and callback follow the live records", async () => {
  const group = new Group(WORDS);
  const index = new RecordIndex<Word>(({ word: text }) => text);
  const seen = new Set<string>();
  const alice = group.start(ALICE);
  const bob = group.start(BOB, {
    indexes: [index],
    onChange: ({ added, removed }) => {
      for (const each of removed) assert.ok(seen.delete(`${each.origin} ${each.word}`));
      for (const each of added) seen.add(`${each.origin} ${each.word}`);
    },
  });
  for (let i = 0; i < 60; i++) {
    if (i % 3 === 2) alice.remove((record) => record.word === `w${i % 5}`);
    else alice.add(word(`w${i % 7}`));
    await group.clock.run(i === 30 ? 40 * 60_000 : 30);
    const words = wordsOf(alice);
    assert.deepEqual(wordsOf(bob), words);
    assert.deepEqual([bob.size, seen.size], [words.length, words.length]);
    for (let w = 0; w < 7; w++)
      assert.equal([...index.get(`w${w}`)].length, words.filter((each) => each === `1 w${w}`).length);
  }
  bob.forget(nameOf(ALICE));
  assert.deepEqual([bob.size, seen.size, [...index.get("w1")]], [0, 0, []]);
});

test("own records are stored, and are there after a restart with a new incarnation", async () => {
  const disk = new Map<string, unknown>();
  const group = new Group(WORDS);
  const stored = { store: memoryStore(disk), storePrefix: "words/" };
  const alice = group.start(ALICE, stored);
  const bob = group.start(BOB);
  for (const text of ["a", "b", "c"]) alice.add(word(text));
  alice.remove((record) => record.word === "b");
  assert.deepEqual(
    [...disk],
    [
      ["words/a", word("a")],
      ["words/c", word("c")],
    ],
  );
  await group.clock.run(100);
  alice.stop();
  disk.delete("words/c");
  group.start(ALICE, { ...stored, incarnation: group.clock.wall() + 1 });
  await group.clock.run(100);
  assert.deepEqual(wordsOf(bob), ["1 a"]);
});

// ── Hostile peers ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Alice, who has said something, Bob, who knows it, and Mallory, Bob's neighbour. */
async function attacked(): Promise<{ group: Group<Word>; incarnation: number }> {
  const group = new Group(WORDS);
  const incarnation = group.clock.wall();
  const alice = group.start(ALICE);
  group.start(BOB);
  group.known.add(MALLORY);
  for (const text of ["a", "b", "c"]) alice.add(word(text));
  await group.clock.run(100);
  assert.deepEqual(wordsOf(group.members.get(nameOf(BOB))!), ["1 a", "1 b", "1 c"]);
  return { group, incarnation };
}

for (const [what, reason, attack] of [
  [
    "signed by another key",
    "forged",
    (now: number) => stateOf(WORDS, ALICE, { incarnation: now + 1, fields: [word("evil")], signer: signerOf(MALLORY) }),
  ],
  [
    "signed for another set",
    "forged",
    (now: number) => stateOf(WORDS, ALICE, { incarnation: now + 1, fields: [word("evil")], set: "names" }),
  ],
  [
    "with a signature of other records",
    "forged",
    (now: number) => ({
      ...stateOf(WORDS, ALICE, { incarnation: now, fields: [word("evil")], version: 50 }),
      records: stateOf(WORDS, ALICE, { incarnation: now, fields: [word("worse")] }).records,
    }),
  ],
  [
    "with another origin than the one that signed",
    "forged",
    (now: number) => ({
      ...stateOf(WORDS, MALLORY, { incarnation: now + 1, fields: [word("evil")] }),
      origin: nameOf(ALICE),
    }),
  ],
  [
    "of an earlier incarnation, replayed",
    "outdated",
    (now: number) => stateOf(WORDS, ALICE, { incarnation: now - 1, fields: [word("old")] }),
  ],
  [
    "of an earlier version, replayed",
    "outdated",
    (now: number) => stateOf(WORDS, ALICE, { incarnation: now, fields: [word("a")], version: 1 }),
  ],
  [
    "of an incarnation more than a day ahead",
    "far-future",
    (now: number) => stateOf(WORDS, MALLORY, { incarnation: now + MAX_AHEAD_MS + 60_000, fields: [word("evil")] }),
  ],
  [
    "of an unknown origin",
    "unknown-origin",
    (now: number) => stateOf(WORDS, 77, { incarnation: now, fields: [word("evil")] }),
  ],
  [
    "with records out of order",
    "malformed",
    (now: number) => {
      const state = stateOf(WORDS, MALLORY, { incarnation: now, fields: [word("x"), word("y")] });
      return { ...state, records: [...state.records].reverse() };
    },
  ],
  [
    "with one record twice",
    "malformed",
    (now: number) => stateOf(WORDS, MALLORY, { incarnation: now, fields: [word("x"), word("x")] }),
  ],
] as const satisfies readonly [string, string, (now: number) => StateMessage][]) {
  test(`a state ${what} is rejected, counted by reason and neighbour, and not passed on`, async () => {
    const { group, incarnation } = await attacked();
    const [alice, bob] = [group.members.get(nameOf(ALICE))!, group.members.get(nameOf(BOB))!];
    group.sent.length = 0;
    for (let i = 0; i < 3; i++) group.inject(BOB, MALLORY, statesPayload(attack(incarnation)));
    assert.equal(group.rejected(BOB)[reason], 3);
    const { byNeighbour } = group.replicas.get(nameOf(BOB))!.rejections;
    assert.equal(byNeighbour.get(nameOf(MALLORY))?.[reason], 3);
    assert.deepEqual(wordsOf(bob), ["1 a", "1 b", "1 c"]);
    alice.add(word("d"));
    await group.clock.run(100);
    assert.deepEqual(wordsOf(bob), ["1 a", "1 b", "1 c", "1 d"]);
    assert.equal(group.digests().size, 1);
  });
}

test("two contents of one version: all peers keep the proof, and ignore the origin until its next incarnation", async () => {
  const group = new Group(WORDS);
  const incarnation = group.clock.wall();
  const [bob, carol] = [group.start(BOB), group.start(CAROL)];
  group.known.add(MALLORY);
  const say = (text: string, later = 0) =>
    statesPayload(stateOf(WORDS, MALLORY, { incarnation: incarnation + later, fields: [word(text)], version: 5 }));
  group.connected = false;
  group.inject(BOB, MALLORY, say("one"));
  group.inject(CAROL, MALLORY, say("two"));
  group.connected = true;
  assert.deepEqual([wordsOf(bob), wordsOf(carol)], [["9 one"], ["9 two"]]);
  await group.repair();
  await group.repair();
  for (const replica of [bob, carol]) {
    assert.deepEqual(wordsOf(replica), []);
    assert.deepEqual(replica.equivocations, [
      { origin: nameOf(MALLORY), identity: signerOf(MALLORY).identity, incarnation, version: 5 },
    ]);
  }
  assert.equal(group.digests().size, 1);
  // A newcomer learns of it by repair.
  const alice = group.start(ALICE);
  await group.repair();
  assert.equal(alice.equivocations.length, 1);
  group.inject(BOB, MALLORY, say("three"));
  assert.equal(group.rejected(BOB).equivocation, 1);
  group.inject(BOB, MALLORY, say("again", 1));
  assert.deepEqual([wordsOf(bob), wordsOf(carol), wordsOf(alice)], [["9 again"], ["9 again"], ["9 again"]]);
  assert.equal(bob.equivocations.length, 1, "it is still named");
  await group.repair();
  assert.equal(group.digests().size, 1);
});

test("a proof that is none is rejected: no peer can have another one ignored", async () => {
  const { group, incarnation } = await attacked();
  const head = (text: string, signer = ALICE) => {
    const state = stateOf(WORDS, ALICE, { incarnation, fields: [word(text)], version: 9, signer: signerOf(signer) });
    return { ...state, hash: new Uint8Array(32).fill(text.charCodeAt(0)) };
  };
  const real = stateOf(WORDS, ALICE, { incarnation, fields: [word("a")], version: 9 });
  for (const [first, second] of [
    [head("x", MALLORY), head("y", MALLORY)],
    [head("x"), head("x")],
    [real, head("y")].map((each) => ({ hash: new Uint8Array(32), ...each })),
  ])
    group.inject(BOB, MALLORY, encodeReplicaMessage({ kind: "proof", proof: { first, second } }));
  assert.equal(group.rejected(BOB).forged, 3);
  assert.deepEqual(wordsOf(group.members.get(nameOf(BOB))!), ["1 a", "1 b", "1 c"]);
});

for (const [what, ahead] of [
  ["a later incarnation of it, from before its clock was set back", 5_000],
  ["its own incarnation with a later version, from before its memory was restored", 0],
] as const) {
  test(`a peer replaces ${what}`, async () => {
    const { group, incarnation } = await attacked();
    const [alice, bob] = [group.members.get(nameOf(ALICE))!, group.members.get(nameOf(BOB))!];
    const earlier = stateOf(WORDS, ALICE, { incarnation: incarnation + ahead, fields: [word("old")], version: 90 });
    group.connected = false;
    group.inject(BOB, MALLORY, statesPayload(earlier));
    assert.deepEqual(wordsOf(bob), ["1 old"]);
    group.connected = true;
    await group.repair();
    assert.deepEqual(wordsOf(bob), ["1 a", "1 b", "1 c"]);
    assert.equal(alice.incarnation, incarnation + ahead + 1);
    // It may be repeated for ever: the present one is later.
    group.inject(BOB, MALLORY, statesPayload(earlier));
    group.inject(ALICE, MALLORY, statesPayload(earlier));
    assert.equal(alice.incarnation, incarnation + ahead + 1);
  });
}

test("two machines with one identity do not outdo each other for ever", async () => {
  const group = new Group(WORDS);
  const [alice, bob] = [group.start(ALICE), group.start(BOB)];
  for (let second = 0; second < 120; second++) {
    const state = stateOf(WORDS, ALICE, { incarnation: alice.incarnation + 1, fields: [word(`w${second}`)] });
    group.inject(ALICE, MALLORY, statesPayload(state));
    await group.clock.run(1_000);
  }
  assert.ok(alice.incarnation - group.clock.wall() < 10, "one incarnation for each message");
  assert.equal(bob.size, 0);
});

test("records that arrive before their peer is known are requested as soon as it is", async () => {
  const group = new Group(WORDS);
  const [alice, bob] = [group.start(ALICE), group.start(BOB)];
  group.known.delete(ALICE);
  alice.add(word("early"));
  await group.clock.run(100);
  assert.equal(bob.size, 0);
  group.known.add(ALICE);
  bob.peersChanged();
  await group.clock.run(100);
  assert.deepEqual(wordsOf(bob), ["1 early"]);
});

test("a flood of origins, records and messages leaves the memory bounded, and the others' records where they are", async () => {
  const group = new Group(WORDS);
  const alice = group.start(ALICE);
  alice.add(word("a"));
  const bob = group.start(BOB, { shareBytes: 4 << 20 });
  await group.repair();
  const incarnation = group.clock.wall();
  const fields = Array.from({ length: 60 }, (_, i) => word(`${i} ${"x".repeat(900)}`));
  for (let index = 100; index < 400; index++) {
    group.known.add(index);
    group.inject(BOB, MALLORY, statesPayload(stateOf(WORDS, index, { incarnation, fields })));
    assert.ok(bob.heapBytes <= 4 << 20);
  }
  assert.ok(group.rejected(BOB)["neighbour-budget"] > 100, JSON.stringify(group.rejected(BOB)));
  assert.ok(wordsOf(bob).includes("1 a"));
  // Who was there before has precedence, also for what it adds now.
  for (let i = 0; i < 150; i++) alice.add(word(`new ${i} ${"y".repeat(900)}`));
  await group.clock.run(3_000);
  await group.repair();
  assert.equal(bob.of(nameOf(ALICE)).length, 151);
  // An origin beyond its own part.
  group.known.add(99);
  for (let i = 0; i < 40; i++) {
    const part = fields.map(({ word: text }, at) => word(`${at + 100 * i} ${text}`));
    const all = Array.from({ length: i + 1 }, (_, j) => part.map(({ word: text }) => word(`${j} ${text}`))).flat();
    const state = stateOf(WORDS, 99, { incarnation, fields: all, version: 10_000 + i });
    if (statesPayload(state).length <= MAX_SET_MESSAGE_BYTES) group.inject(BOB, CAROL, statesPayload(state));
  }
  assert.ok(bob.heapBytes <= 4 << 20);
});

test("a message of more than 64 KB, and random bytes, are counted and do nothing", async () => {
  const { group } = await attacked();
  group.inject(BOB, MALLORY, new Uint8Array(MAX_SET_MESSAGE_BYTES + 1));
  assert.equal(group.rejected(BOB).oversized, 1);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      group.inject(BOB, MALLORY, bytes);
      group.members.get(nameOf(BOB))!.onNotice(bytes, nameOf(MALLORY));
    }),
    { numRuns: 500 },
  );
  assert.ok(group.rejected(BOB).malformed > 500);
});
