import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Bisection, type Outcome } from "#test/bench/bisection.js";

const BOUNDS = { first: 16_000, lowest: 1_000, highest: 1_000_000, precision: 0.06 };

/** A path that receives all up to a rate, and never more than that. */
const path =
  (limit: number, tried: number[] = []) =>
  async (rate: number): Promise<Outcome> => {
    tried.push(rate);
    return { rate, sent: rate, received: Math.min(rate, limit) };
  };

test("the result is at most the precision below the highest rate that passes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1_100, max: 900_000 }), async (limit) => {
      const found = await new Bisection(path(limit), BOUNDS).search(0.01);
      // One per cent more than the limit still passes, and the limit is what is received then.
      assert.ok(found <= limit && found >= (limit / 1.06) * 0.999, `${found} of ${limit}`);
    }),
  );
});

test("a stricter share of losses starts with what is known", async () => {
  const tried: number[] = [];
  // Loses half a per cent at any rate above 20,000, and all that is above 50,000.
  const run = async (rate: number): Promise<Outcome> => {
    tried.push(rate);
    return { rate, sent: rate, received: Math.min(rate * (rate > 20_000 ? 0.995 : 1), 50_000) };
  };
  const search = new Bisection(run, BOUNDS);
  const loose = await search.search(0.01);
  const first = tried.length;
  const strict = await search.search(0.001);
  assert.ok(loose > 47_000 && loose <= 50_000, String(loose));
  assert.ok(strict > 18_500 && strict <= 20_000, String(strict));
  assert.ok(tried.length - first < first, `${tried.length - first} further runs after ${first}`);
});

test("one hiccup does not limit a rate: what fails is tried again", async () => {
  let calls = 0;
  const good = path(100_000);
  const run = async (rate: number): Promise<Outcome> =>
    ++calls === 2 ? { rate, sent: rate, received: rate / 2 } : good(rate);
  assert.ok((await new Bisection(run, BOUNDS).search(0.01)) > 94_000);
});

test("a rate that the sender does not reach has not passed", async () => {
  const run = async (rate: number): Promise<Outcome> => {
    const sent = Math.min(rate, 40_000);
    return { rate, sent, received: sent };
  };
  const found = await new Bisection(run, BOUNDS).search(0.01);
  assert.ok(found >= 37_000 && found <= 40_000, String(found));
});

test("a path that loses at each rate ends the search with 0", async () => {
  const run = async (rate: number): Promise<Outcome> => ({ rate, sent: rate, received: rate / 2 });
  assert.equal(await new Bisection(run, BOUNDS).search(0.01), 0);
});

test("nothing is sent above the highest rate", async () => {
  const tried: number[] = [];
  const found = await new Bisection(path(Number.POSITIVE_INFINITY, tried), BOUNDS).search(0.01);
  assert.equal(found, BOUNDS.highest);
  assert.equal(Math.max(...tried), BOUNDS.highest);
});

test("a search of random outcomes ends", async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), async (shares) => {
      let calls = 0;
      const run = async (rate: number): Promise<Outcome> => {
        calls++;
        return { rate, sent: rate, received: rate * (shares.next().value as number) };
      };
      await new Bisection(run, BOUNDS).search(0.5);
      assert.ok(calls <= 48, `${calls} runs`);
    }),
  );
});
