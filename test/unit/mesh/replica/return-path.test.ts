import assert from "node:assert/strict";
import { test } from "node:test";
import { Answers } from "#mesh/replica/answers.js";
import { MemoryBudget } from "#mesh/replica/memory-budget.js";
import { RecordSet } from "#mesh/replica/record-set.js";
import {
  encodeReplicaMessage,
  MAX_NAME,
  MAX_SET_MESSAGE_BYTES,
  MIN_NAME,
  type ReplicaMessage,
  SUMMARY_ENTRIES,
} from "#mesh/replica/replica-message.js";
import { VirtualClock } from "#test/sim/virtual-time.js";
import { Group, nameOf, stateOf, statesPayload, WORDS, type Word, wordsOf } from "./words.js";

const [ALICE, BOB, CAROL, MALLORY] = [1, 2, 3, 9];
const word = (text: string): Word => ({ word: text });
const all = { incarnation: 0, version: 0 };

/** Bob, who knows the long records of twenty origins, and Alice, who is reachable. */
async function rich(): Promise<Group<Word>> {
  const group = new Group(WORDS);
  group.start(BOB);
  for (const known of [ALICE, MALLORY]) group.known.add(known);
  const fields = Array.from({ length: 30 }, (_, i) => word(`${i} ${"x".repeat(900)}`));
  for (let origin = 100; origin < 120; origin++) {
    group.known.add(origin);
    group.inject(BOB, CAROL, statesPayload(stateOf(WORDS, origin, { incarnation: group.clock.wall(), fields })));
  }
  await group.clock.run(3_000);
  group.sent.length = 0;
  return group;
}

const wanted = Array.from({ length: 20 }, (_, i) => ({ origin: nameOf(100 + i), ...all }));
const messages: readonly ReplicaMessage[] = [
  { kind: "want", origins: wanted },
  { kind: "summary", mask: 2 ** 32 - 1, first: MIN_NAME, last: MAX_NAME, entries: [] },
  { kind: "buckets", digests: new Uint8Array(128) },
];

for (const message of messages) {
  test(`a \`${message.kind}\` in the name of another peer is not answered with more bytes than it has`, async () => {
    const group = await rich();
    const made = { kind: "relayed", token: new Uint8Array(8), echo: new Uint8Array(8), message } as ReplicaMessage;
    for (const each of [message, made]) {
      const payload = encodeReplicaMessage(each);
      group.sent.length = 0;
      for (let i = 0; i < 10; i++) group.members.get(nameOf(BOB))!.onUnicast(nameOf(ALICE), payload, nameOf(MALLORY));
      await group.clock.run(5_000);
      const bytes = group.sent.reduce((sum, { payload: { length } }) => sum + length, 0);
      assert.ok(bytes <= 10 * (payload.length + 24), `${bytes} bytes for ${10 * payload.length}`);
    }
  });

  test(`a \`${message.kind}\` of the neighbour itself is answered`, async () => {
    const group = await rich();
    group.members.get(nameOf(BOB))!.onUnicast(nameOf(MALLORY), encodeReplicaMessage(message), nameOf(MALLORY));
    await group.clock.run(5_000);
    assert.ok(group.sent.reduce((sum, { payload: { length } }) => sum + length, 0) > 400);
    assert.ok(group.sent.every(({ to }) => to === nameOf(MALLORY)));
  });
}

for (const origins of [1, 30]) {
  test(`replicas beyond a peer that does not have the set become equal, with ${origins} origins`, async () => {
    const group = new Group(WORDS);
    group.relay = 50;
    group.known.add(50);
    const [alice, bob] = [group.start(ALICE), group.start(BOB)];
    group.connected = false;
    for (let i = 0; i < 100; i++) alice.add(word(`${i} ${"x".repeat(900)}`));
    bob.add(word("b"));
    const [incarnation, fields] = [group.clock.wall(), [word("old")]];
    for (let origin = 100; origin < 99 + origins; origin++) {
      group.known.add(origin);
      group.inject(ALICE, CAROL, statesPayload(stateOf(WORDS, origin, { incarnation, fields })));
    }
    await group.clock.run(5_000);
    group.connected = true;
    await group.repair();
    assert.equal(bob.size, 100 + origins);
    assert.deepEqual(wordsOf(alice), wordsOf(bob));
    group.connected = false;
    bob.add(word("later"));
    // Tokens of before are out of date.
    await group.clock.run(10 * 60_000);
    group.connected = true;
    await group.repair();
    assert.equal(group.digests().size, 1);
  });
}

test("a relayed summary with as many entries as possible fits into a message", () => {
  const mark = new Uint8Array(4);
  const entries = Array.from({ length: SUMMARY_ENTRIES + 1 }, (_, i) => ({
    ...{ origin: nameOf(i), incarnation: 1, version: 1, mark },
  }));
  const message = { kind: "summary", mask: 2 ** 32 - 1, first: MIN_NAME, last: MAX_NAME, entries } as const;
  const relayed = { kind: "relayed", token: new Uint8Array(8), echo: new Uint8Array(8), message } as const;
  assert.ok(encodeReplicaMessage(relayed).length <= MAX_SET_MESSAGE_BYTES);
});

test("the origins that wait for answers are bounded in sum, and the peer that waits for most loses its turn", async () => {
  const clock = new VirtualClock();
  const asked = new Set<string>();
  const set = new RecordSet<Word>({ budget: new MemoryBudget().share(1 << 20) });
  const get = set.get.bind(set);
  set.get = (origin) => {
    asked.add(origin);
    return get(origin);
  };
  const answers = new Answers<Word>({ clock, set, sign() {}, send: () => true });
  answers.add(nameOf(ALICE), nameOf(40_000), 0);
  for (let peer = 1_000; peer < 1_020; peer++)
    for (let origin = 0; origin < 8_000; origin++) answers.add(nameOf(peer), nameOf(origin), 0);
  assert.ok(answers.size <= 65_536 && answers.size > 40_000, `${answers.size} origins`);
  await clock.run(5_000);
  assert.equal(answers.size, 0);
  assert.ok(asked.has(nameOf(40_000)));
});
