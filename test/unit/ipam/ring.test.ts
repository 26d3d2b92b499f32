import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IntervalSet, largestBlock, sizeOf, subtract } from "#ipam/ring/interval.js";
import { compareGenesis, compareOwnership, type Ownership, Ring, type Span } from "#ipam/ring/ring.js";
import { Space } from "#ipam/ring/space.js";
import { addressText, hostsOf, parseLease, parseSubnet, subnetOf } from "#ipam/ring/subnet.js";
import { decodeIpamMessage, encodeIpamMessage, fromWire } from "#ipam/wire/ipam-message.js";
import { WeaveError } from "#src/errors.js";

const RANGE = parseSubnet("10.32.0.0/26");
const peer = (index: number) => `02:00:00:00:00:0${index}`;
const genesis = { peers: [peer(1), peer(2), peer(3)], at: 1_700_000_000_000 };

const ownership: fc.Arbitrary<Ownership> = fc.record({
  owner: fc.integer({ min: 1, max: 4 }).map(peer),
  epoch: fc.nat(2),
  version: fc.nat(3),
  pending: fc.boolean(),
  since: fc.nat(2),
  cause: fc.constantFrom("donation" as const, "rmpeer" as const, "kept" as const),
  from: fc.option(fc.integer({ min: 1, max: 4 }).map(peer), { nil: undefined }),
});

/** Sorted spans that do not overlap, with gaps. */
const updates: fc.Arbitrary<Span[]> = fc
  .array(fc.tuple(fc.nat(63), fc.integer({ min: 1, max: 20 }), ownership), { maxLength: 8 })
  .map((parts) => {
    let at = RANGE.start;
    return parts
      .sort(([a], [b]) => a - b)
      .flatMap(([offset, length, value]) => {
        const wanted = RANGE.start + BigInt(offset);
        const start = wanted > at ? wanted : at;
        const limit = start + BigInt(length);
        const end = limit < RANGE.end ? limit : RANGE.end;
        if (start >= end) return [];
        at = end;
        return [{ start, end, value }];
      });
  });

const first = Ring.first(RANGE, genesis);
const joined = (...parts: readonly Span[][]) => parts.reduce((ring, part) => ring.join(part).ring, first);

function assertCoversOnce(ring: Ring): void {
  let at = ring.range.start;
  for (const span of ring.spans) {
    assert.equal(span.start, at);
    assert.ok(span.end > span.start);
    at = span.end;
  }
  assert.equal(at, ring.range.end);
}

test("the first division halves the range: three peers get 1/2, 1/4 and 1/4", () => {
  assert.deepEqual(
    first.spans.map((span) => [addressText(span.start), Number(sizeOf(span)), span.value.owner]),
    [
      ["10.32.0.0", 32, peer(1)],
      ["10.32.0.32", 16, peer(2)],
      ["10.32.0.48", 16, peer(3)],
    ],
  );
  // More peers than addresses: the first ones get them.
  const many = Ring.first(parseSubnet("10.32.0.0/30"), { ...genesis, peers: [1, 2, 3, 4, 5, 6].map(peer) });
  assertCoversOnce(many);
  assert.equal(many.spans.length, 4);
});

test("a join is commutative, associative and idempotent, and covers the range once", () => {
  fc.assert(
    fc.property(updates, updates, updates, (a, b, c) => {
      const abc = joined(a, b, c);
      assertCoversOnce(abc);
      assert.equal(joined(c, b, a).digest, abc.digest);
      assert.equal(joined(a, [...joined(b, c).spans]).digest, abc.digest);
      assert.equal(abc.join(a).ring, abc);
      assert.deepEqual(abc.join([...abc.spans]).news, []);
    }),
    { numRuns: 2_000 },
  );
});

test("a join takes the higher value at each address, and its news are exactly the changes", () => {
  fc.assert(
    fc.property(updates, updates, (a, b) => {
      const before = joined(a);
      const { ring, news } = before.join(b);
      for (let address = RANGE.start; address < RANGE.end; address++) {
        const theirs = b.find(({ start, end }) => start <= address && address < end)?.value;
        const ours = before.at(address).value;
        const wins = theirs !== undefined && compareOwnership(theirs, ours) > 0;
        assert.equal(compareOwnership(ring.at(address).value, wins ? theirs : ours), 0);
        assert.equal(
          news.some(({ start, end }) => start <= address && address < end),
          wins,
        );
      }
      // The news alone are enough for an equal ring.
      assert.equal(before.join(news).ring.digest, ring.digest);
    }),
  );
});

test("of two rings the one that more peers made wins, then the older one", () => {
  const alone = { peers: [peer(9)], at: 1 };
  assert.ok(compareGenesis(genesis, alone) > 0);
  assert.ok(compareGenesis({ ...genesis, at: 5 }, { ...genesis, at: 6 }) > 0);
  assert.equal(compareGenesis(genesis, { ...genesis }), 0);
});

test("a ring survives the wire; one that contradicts itself is rejected", () => {
  fc.assert(
    fc.property(updates, (spans) => {
      const bytes = encodeIpamMessage(RANGE.text, {
        kind: "ring",
        genesis,
        spans: joined(spans).spans,
        ask: true,
        stands: [],
      });
      const { range, body } = decodeIpamMessage(bytes);
      assert.equal(range, RANGE.text);
      const message = fromWire(body, RANGE);
      assert.ok(message.kind === "ring");
      assert.equal(Ring.whole(RANGE, message.genesis, message.spans)!.digest, joined(spans).digest);
    }),
  );
  const send = (spans: Span[]) =>
    fromWire(decodeIpamMessage(encodeIpamMessage("x", { kind: "news", ring: "", spans, consents: [] })).body, RANGE);
  const value = first.spans[0].value;
  const rejected = (spans: Span[]) =>
    assert.throws(
      () => send(spans),
      (error) => error instanceof WeaveError && error.code === "WEAVE_MESSAGE_MALFORMED",
    );
  rejected([{ start: RANGE.start - 1n, end: RANGE.end, value }]);
  rejected([
    { start: RANGE.start + 8n, end: RANGE.end, value },
    { start: RANGE.start, end: RANGE.end, value },
  ]);
  // Holes are no whole ring.
  assert.equal(Ring.whole(RANGE, genesis, first.spans.slice(1)), undefined);
});

test("an interval set agrees with a plain set", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.bigInt(0n, 40n)), { maxLength: 120 }), (steps) => {
      const set = new IntervalSet();
      const model = new Set<bigint>();
      for (const [add, value] of steps) {
        if (add) {
          assert.equal(set.add(value), !model.has(value));
          model.add(value);
        } else assert.equal(set.delete(value), model.delete(value));
      }
      assert.equal(set.size, BigInt(model.size));
      const members: bigint[] = [];
      let last = -2n;
      for (const { start, end } of set) {
        assert.ok(start > last, "adjacent intervals must be joined");
        for (let value = start; value < end; value++) members.push(value);
        last = end;
      }
      assert.deepEqual(
        members,
        [...model].sort((a, b) => (a < b ? -1 : 1)),
      );
      let gap = 5n;
      while (model.has(gap)) gap++;
      assert.equal(set.lowestGap({ start: 5n, end: 30n }), gap < 30n ? gap : undefined);
    }),
  );
});

test("the largest block is one CIDR, inside, and more than a quarter", () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 32n - 2n), fc.bigInt(1n, 2n ** 32n), (start, length) => {
      const whole = { start, end: start + length };
      const block = largestBlock(whole);
      const size = sizeOf(block);
      assert.ok(block.start >= whole.start && block.end <= whole.end);
      assert.equal(size & (size - 1n), 0n);
      assert.equal(block.start % size, 0n);
      assert.ok(size * 4n > length);
    }),
    { numRuns: 20_000 },
  );
});

test("a donation is free, aligned, and not more than about half", () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt(0n, 63n)), (taken) => {
      const used = new IntervalSet();
      for (const value of taken) used.add(RANGE.start + value);
      const space = new Space([RANGE], used);
      const free = space.freeIn(RANGE);
      const gift = space.donation(RANGE);
      if (free === 0n) return assert.equal(gift, undefined);
      assert.ok(gift !== undefined);
      for (let address = gift.start; address < gift.end; address++) assert.ok(space.isFree(address));
      assert.ok(sizeOf(gift) === 1n || sizeOf(gift) * 2n <= free);
    }),
  );
});

test("avoided addresses are allocated and donated last", () => {
  const values = fc.array(fc.bigInt(0n, 63n));
  fc.assert(
    fc.property(values, values, (taken, avoidedOnes) => {
      const [used, avoided] = [new IntervalSet(), new IntervalSet()];
      for (const value of taken) used.add(RANGE.start + value);
      for (const value of avoidedOnes) avoided.add(RANGE.start + value);
      const space = new Space([RANGE], used, avoided);
      const all = Array.from({ length: Number(sizeOf(RANGE)) }, (_, index) => RANGE.start + BigInt(index));
      const preferred = all.filter((address) => !used.has(address) && !avoided.has(address));
      assert.equal(space.lowest(RANGE), preferred[0]);
      assert.equal(
        space.lowestOfAll(RANGE),
        all.find((address) => !used.has(address)),
      );
      const gift = space.donation(RANGE);
      for (const address of all)
        if (gift !== undefined && gift.start <= address && address < gift.end)
          assert.ok(space.isFree(address) && (preferred.length === 0 || !avoided.has(address)));
    }),
  );
});

test("subtract leaves the uncovered parts", () => {
  assert.deepEqual(
    subtract({ start: 0n, end: 10n }, [
      { start: 2n, end: 4n },
      { start: 8n, end: 12n },
    ]),
    [
      { start: 0n, end: 2n },
      { start: 4n, end: 8n },
    ],
  );
});

test("subnets with host bits, too small ones and other text are rejected with the reason", () => {
  const rejected = (text: string, words: RegExp) => assert.throws(() => parseSubnet(text), words);
  rejected("10.32.0.1/24", /bits after network prefix are not all zero: 10\.32\.0\.1\/24/);
  rejected("10.32.0.0/31", /smaller than minimum size 4: 10\.32\.0\.0\/31/);
  for (const text of ["", "10.32.0.0", "10.32.0.0/33", "300.1.1.1/8", "fe80::/10", "10.0.0.0/8 "])
    rejected(text, /invalid CIDR address/);
  const subnet = subnetOf(parseLease("10.32.0.77/26"));
  assert.equal(subnet.text, "10.32.0.64/26");
  assert.equal(addressText(hostsOf(subnet).start), "10.32.0.65");
  const all = parseSubnet("0.0.0.0/0");
  assert.equal(sizeOf(all), 2n ** 32n);
});
