import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { CarrierState } from "#router/carriers/carrier.js";
import { PathSelector, RETURN_MS } from "#router/carriers/selector.js";

/** A carrier whose state the test sets. */
class Fake {
  readonly name: string;
  state: CarrierState = { condition: "probing", reason: "no answer yet", since: 0 };

  constructor(name: string) {
    this.name = name;
  }

  set(condition: CarrierState["condition"], since: number): void {
    this.state = { condition, reason: `${this.name} is ${condition}`, since };
  }
}

const three = () => {
  const all = [new Fake("first"), new Fake("second"), new Fake("third")] as const;
  return { all, selector: new PathSelector<Fake>(all) };
};

test("the first choice waits while a better carrier is being probed, and is the next carrier when the better one has failed", () => {
  const { all, selector } = three();
  all[2].set("usable", 0);
  assert.equal(selector.update(0), false);
  all[1].set("usable", 10);
  assert.equal(selector.update(10), false);
  all[0].set("failed", 20);
  assert.equal(selector.update(20), true);
  const { carrier, ...why } = selector.selection!;
  assert.equal(carrier, all[1]);
  assert.deepEqual(why, { reason: "first is failed", since: 20 });
});

test("a carrier that fails is replaced immediately by the best usable one; the reasons name the better ones", () => {
  const { all, selector } = three();
  for (const each of all) each.set("usable", 0);
  selector.update(0);
  assert.equal(selector.selection?.carrier, all[0]);
  assert.equal(selector.selection.reason, "the preferred carrier");
  all[0].set("failed", 5_000);
  assert.equal(selector.update(5_000), true);
  assert.equal(selector.selection.carrier, all[1]);
  all[1].set("failed", 6_000);
  assert.equal(selector.update(6_000), true);
  assert.equal(selector.selection.carrier, all[2]);
  assert.equal(selector.selection.reason, "first is failed; second is failed");
  assert.equal(selector.selection.since, 6_000);
});

test("a carrier that comes back is used when it has worked for a second without a break", () => {
  const { all, selector } = three();
  for (const each of all) each.set("usable", 0);
  selector.update(0);
  all[0].set("failed", 1_000);
  selector.update(1_000);
  for (const [from, to] of [
    [2_000, 2_900],
    [3_500, 4_400],
  ]) {
    all[0].set("usable", from);
    assert.equal(selector.update(from), false);
    assert.equal(selector.wakeAt, from + RETURN_MS);
    assert.equal(selector.update(to), false);
    all[0].set("failed", to);
    assert.equal(selector.update(to), false);
    assert.equal(selector.wakeAt, Number.POSITIVE_INFINITY);
  }
  // One that reports its first proof late has waited already.
  all[0].set("usable", 5_000);
  assert.equal(selector.update(5_000 + RETURN_MS), true);
  assert.equal(selector.selection?.carrier, all[0]);
});

test("a carrier that comes back is used immediately if no other works; no carrier is used if none works", () => {
  const { all, selector } = three();
  for (const each of all) each.set("failed", 0);
  assert.equal(selector.update(0), false);
  assert.equal(selector.selection, undefined);
  assert.equal(selector.reason, "first is failed; second is failed; third is failed");
  all[1].set("usable", 100);
  assert.equal(selector.update(100), true);
  all[1].set("failed", 200);
  all[0].set("probing", 200);
  assert.equal(selector.update(200), true);
  assert.equal(selector.selection, undefined);
  // The first choice is made: a probe no longer delays the others.
  all[2].set("usable", 300);
  assert.equal(selector.update(300), true);
  assert.equal(selector.selection!.carrier, all[2]);
});

test("for any sequence of states the carrier in use is usable, and no better one has worked for longer than a second", () => {
  const step = fc.record({
    carrier: fc.nat(2),
    condition: fc.constantFrom("probing", "usable", "failed" as const),
    ms: fc.integer({ min: 0, max: 2_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { all, selector } = three();
      let now = 0;
      let changes = 0;
      let failures = 0;
      for (const { carrier, condition, ms } of steps) {
        const until = now + ms;
        while (selector.wakeAt <= until) {
          now = selector.wakeAt;
          if (selector.update(now)) changes++;
        }
        now = until;
        if (all[carrier].state.condition !== condition) {
          if (condition !== "usable") failures++;
          all[carrier].set(condition, now);
        }
        if (selector.update(now)) changes++;
        const selected = selector.selection?.carrier;
        const works = (each: Fake) => each.state.condition === "usable";
        if (selected === undefined)
          assert.ok(!all.some(works) || all.some(({ state }) => state.condition === "probing"));
        else {
          assert.ok(works(selected));
          for (const better of all.slice(0, all.indexOf(selected)))
            assert.ok(!works(better) || now < better.state.since + RETURN_MS);
        }
      }
      // Each failure costs at most one change away and, later, one back.
      assert.ok(changes <= 2 * failures + all.length, `${changes} changes, ${failures} failures`);
    }),
  );
});

test("a changed order counts at once, and changes the reason of the carrier in use", () => {
  const { all, selector } = three();
  const [first, second, third] = all;
  for (const each of all) each.set("usable", 0);
  selector.update(0);
  selector.reorder([second, first, third]);
  assert.equal(selector.selection?.reason, "second is usable");
  assert.equal(selector.update(10), true);
  assert.deepEqual(selector.selection, { carrier: second, reason: "the preferred carrier", since: 10 });
  second.set("failed", 20);
  selector.update(20);
  selector.reorder(all);
  assert.equal(selector.update(20), false);
  assert.deepEqual(selector.selection, { carrier: first, reason: "the preferred carrier", since: 20 });
});
