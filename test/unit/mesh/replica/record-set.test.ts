import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as z from "zod/mini";
import type { OriginState, RecordFormat } from "#mesh/replica/record-format.js";
import { RecordIndex } from "#mesh/replica/record-index.js";
import { RecordSet } from "#mesh/replica/record-set.js";
import { compareText } from "#src/text.js";

interface Word {
  readonly word: string;
}

const FORMAT: RecordFormat<Word> = {
  name: "words",
  fields: { word: z.string() },
  compare: (a, b) => compareText(a.origin, b.origin) || compareText(a.word, b.word),
  bytes: () => 10,
};
const OWNERS = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

type Change = { owner: number; word: string; what: "add" | "remove" | "expire" | "restart" };
const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.record({
    owner: fc.nat(OWNERS.length - 1),
    word: fc.constantFrom("a", "b", "c"),
    what: fc.constantFrom("add", "add", "remove", "remove", "expire", "restart"),
  }),
  { maxLength: 30 },
);

/** Plays changes at their owners. @returns every state that the owners sent, whole or as a change, and their last ones */
function play(history: readonly Change[]): { sent: OriginState<Word>[]; last: OriginState<Word>[] } {
  const sent: OriginState<Word>[] = [];
  const owners = OWNERS.map((origin) => ({ origin, set: new RecordSet(FORMAT), incarnation: 1, version: 0 }));
  for (const { origin, set } of owners) set.merge({ origin, incarnation: 1, horizon: 0, records: [] });
  for (const { owner, word, what } of history) {
    const at = owners[owner];
    const { origin, set } = at;
    if (what === "restart") {
      at.incarnation++;
      at.version = 0;
      const records = set.stateOf(origin)!.records.filter(({ tombstone }) => tombstone === 0);
      const renewed = records.map((record) => ({ ...record, version: ++at.version }));
      set.merge({ origin, incarnation: at.incarnation, horizon: 0, records: renewed });
    } else if (what === "expire") set.expire(origin, Number.POSITIVE_INFINITY);
    else {
      const record = { word, origin, version: ++at.version, tombstone: what === "add" ? 0 : 1 };
      const change = { origin, incarnation: at.incarnation, horizon: 0, records: [record] };
      set.merge(change);
      sent.push(change);
    }
    sent.push(set.stateOf(origin)!);
  }
  return { sent, last: owners.map(({ origin, set }) => set.stateOf(origin)!) };
}

function merged(states: readonly OriginState<Word>[]): RecordSet<Word> {
  const set = new RecordSet(FORMAT);
  for (const state of states) set.merge(state);
  return set;
}

test("states may be lost, repeated and reordered: with the last ones of the owners all sets are equal", () => {
  fc.assert(
    fc.property(
      changes.chain((history) => {
        const { sent, last } = play(history);
        return fc.record({
          received: fc.array(sent.length === 0 ? fc.constant(last[0]) : fc.constantFrom(...sent), { maxLength: 40 }),
          last: fc.shuffledSubarray(last, { minLength: last.length }),
          truth: fc.constant(last),
          at: fc.nat(40),
        });
      }),
      ({ received, last, truth, at }) => {
        const order = [...received.slice(0, at), ...last, ...received.slice(at)];
        assert.equal(merged(order).digest, merged(truth).digest);
        assert.equal(merged([...order, ...order]).digest, merged(truth).digest);
      },
    ),
    { numRuns: 2_000 },
  );
});

test("the new part of a state is enough for a set that was equal before", () => {
  fc.assert(
    fc.property(changes, (history) => {
      const { sent } = play(history);
      const [first, second] = [new RecordSet(FORMAT), new RecordSet(FORMAT)];
      for (const state of sent) {
        const news = first.merge(state);
        if (news !== undefined) second.merge(news);
        assert.equal(second.digest, first.digest);
        assert.equal(first.merge(state), undefined, "a repetition is not new");
      }
    }),
  );
});

test("size and index follow the live records", () => {
  fc.assert(
    fc.property(changes, (history) => {
      const index = new RecordIndex<Word>(({ word }) => word);
      const set = new RecordSet(FORMAT, [index]);
      for (const state of play(history).sent) set.merge(state);
      const live = [...set.all()].filter(({ tombstone }) => tombstone === 0);
      assert.equal(set.size, live.length);
      for (const word of ["a", "b", "c"])
        assert.deepEqual(new Set(index.get(word)), new Set(live.filter((record) => record.word === word)));
      for (const owner of OWNERS) set.drop(owner);
      assert.deepEqual([set.size, [...set.all()], [...index.get("a")]], [0, [], []]);
    }),
  );
});

test("a removal that a peer missed is applied by the horizon, after its tombstone has expired", () => {
  const [origin] = OWNERS;
  const live = { word: "a", origin, version: 1, tombstone: 0 };
  const away = merged([{ origin, incarnation: 1, horizon: 0, records: [live] }]);
  const owner = merged([{ origin, incarnation: 1, horizon: 0, records: [{ ...live, version: 2, tombstone: 100 }] }]);
  assert.equal(owner.expire(origin, 100), false, "not yet");
  assert.equal(owner.expire(origin, 101), true);
  away.merge(owner.stateOf(origin)!);
  assert.deepEqual([away.size, away.digest], [0, owner.digest]);
  // A late copy of the record does not bring it back.
  assert.equal(away.merge({ origin, incarnation: 1, horizon: 0, records: [live] }), undefined);
});
