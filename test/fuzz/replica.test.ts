/** What a hostile member sends into a replicated set changes nothing that others have signed, takes bounded memory, and breaks nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, validMessages } from "#test/sim/replica-corpus.js";
import { seededRandom } from "#test/sim/virtual-time.js";
import { Group, nameOf, WORDS, wordsOf } from "#test/unit/mesh/replica/words.js";

const [ALICE, BOB, MALLORY] = [1, 2, 9];
const CASES = Number(process.env.FUZZ_CASES ?? 5_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

test(`${CASES} messages of every kind, changed, cut and with extreme values`, { timeout: 1_800_000 }, async () => {
  const random = seededRandom(SEED);
  const group = new Group(WORDS);
  const [alice, bob] = [group.start(ALICE), group.start(BOB, { shareBytes: 1 << 20 })];
  group.known.add(MALLORY);
  alice.add({ word: "a" });
  await group.repair();
  const incarnation = group.clock.wall();
  const before = alice.incarnation;
  const corpus = validMessages(MALLORY, [ALICE, BOB, 77], incarnation);
  for (let i = 0; i < CASES; i++) {
    const message = changed(corpus[random.below(corpus.length)], random);
    group.inject(BOB, MALLORY, message);
    bob.onUnicast(nameOf(random.below(4)), message, nameOf(MALLORY));
    bob.onNotice(message.subarray(0, 18), nameOf(MALLORY));
    if (i % 1_000 > 0) continue;
    await group.clock.run(5_000);
    group.sent.length = 0;
    assert.ok(bob.heapBytes <= 1 << 20);
    assert.ok(wordsOf(bob).includes("1 a"));
  }
  const { counts, byNeighbour } = group.replicas.get(nameOf(BOB))!.rejections;
  assert.ok(counts.malformed > CASES / 4 && counts.forged > 0, JSON.stringify(counts));
  assert.deepEqual(
    [...byNeighbour.keys()].filter((each) => each !== nameOf(MALLORY)),
    [],
  );
  assert.equal(alice.incarnation, before);
  // All of it has changed nothing for the others.
  alice.add({ word: "b" });
  await group.repair();
  assert.deepEqual(
    wordsOf(bob).filter((each) => each.startsWith("1 ")),
    ["1 a", "1 b"],
  );
});
