import assert from "node:assert/strict";
import { test } from "node:test";
import { Liveness, type LivenessEffect, SILENCE_MS } from "#mesh/connection/liveness.js";

/** Runs until `ms` have passed. @param receives bytes that have come by a time; an answered probe adds to them */
function drive(
  liveness: Liveness,
  from: number,
  ms: number,
  receives: (now: number) => number,
  quiet: (now: number) => number | undefined = () => undefined,
): [LivenessEffect, number][] {
  const seen: [LivenessEffect, number][] = [];
  for (let now = from; now < from + ms; now = Math.max(now + 1, Math.min(liveness.wakeAt, from + ms)))
    for (const effect of liveness.tick({ received: receives(now), quietMs: quiet(now) }, now)) {
      seen.push([effect, now]);
      if (effect === "dead") return seen;
    }
  return seen;
}

const kinds = (seen: readonly [LivenessEffect, number][]) => seen.map(([kind]) => kind);

test("without doubt two heartbeats a minute are sent, and a minute of silence ends the connection", () => {
  const liveness = new Liveness(0);
  const seen = drive(liveness, 0, 300_000, (now) => Math.min(now, 200_000));
  const dead = seen.find(([kind]) => kind === "dead");
  assert.ok(dead !== undefined && Math.abs(dead[1] - 200_000 - SILENCE_MS) <= 30_000, `${dead}`);
  const quiet = drive(new Liveness(0), 0, 300_000, (now) => Math.floor(now / 30_000));
  assert.equal(kinds(quiet).filter((kind) => kind === "heartbeat").length, 9);
  assert.equal(quiet.length, 9);
});

test("doubt causes a probe immediately; silence follows after 5 s, the end after 25 s", () => {
  const liveness = new Liveness(0);
  drive(liveness, 0, 29_000, () => 7);
  assert.deepEqual(liveness.doubt(true, 29_000), ["probe"]);
  assert.deepEqual(liveness.doubt(true, 29_001), []);
  const seen = drive(liveness, 29_002, 25_100, () => 7).filter(([kind]) => kind !== "heartbeat");
  assert.deepEqual(seen, [
    ["silent", 34_000],
    ["dead", 54_000],
  ]);
});

test("an answer, any other byte, and the end of the doubt each end the silence", () => {
  const silent = () => {
    const liveness = new Liveness(0);
    liveness.doubt(true, 0);
    drive(liveness, 0, 6_000, () => 0);
    assert.equal(liveness.silent, true);
    return liveness;
  };
  const answered = silent();
  assert.deepEqual(answered.received(20, 7_000), ["responsive"]);
  assert.equal(answered.silent, false);
  assert.deepEqual(kinds(drive(silent(), 6_000, 100, () => 1)), ["responsive"]);
  const trusted = silent();
  assert.deepEqual(trusted.doubt(false, 7_000), ["responsive"]);
  assert.deepEqual(
    drive(trusted, 7_000, 25_000, () => 0),
    [],
  );
});

test("in doubt the other end is probed after each silence, and its failure is detected within 10 s", () => {
  for (let cut = 60_000; cut < 65_000; cut += 700) {
    const liveness = new Liveness(0);
    liveness.doubt(true, 0);
    const seen = drive(liveness, 0, 80_000, (now) => Math.floor(Math.min(now, cut) / 4_000));
    const [first] = seen.filter(([kind]) => kind === "silent");
    assert.ok(first[1] >= cut && first[1] <= cut + 10_000, `cut at ${cut}, silent at ${first[1]}`);
  }
});

test("while both ends send their heartbeats, no probe is needed", () => {
  const liveness = new Liveness(0);
  liveness.doubt(true, 0);
  liveness.received(1, 50);
  const seen = drive(liveness, 51, 120_000, (now) => 1 + Math.floor(now / 4_000));
  assert.ok(kinds(seen).every((kind) => kind === "heartbeat"));
});

test("each byte of a message that takes a minute to arrive is a sign of life", () => {
  const liveness = new Liveness(0);
  liveness.doubt(true, 0);
  const seen = drive(liveness, 1, 60_000, (now) => Math.floor(now / 900));
  assert.ok(kinds(seen).every((kind) => kind === "heartbeat"));
});

test("the time for which this process was stopped does not count as silence of the other end", () => {
  for (const doubtful of [true, false]) {
    const liveness = new Liveness(0);
    liveness.doubt(doubtful, 0);
    drive(liveness, 0, 2_000, () => 5);
    // It wakes after 70 s; what came meanwhile is read a moment later.
    const woken = liveness.tick({ received: 5 }, 72_000);
    assert.ok(!woken.includes("dead") && !woken.includes("silent"), woken.join());
    const seen = drive(liveness, 72_001, 2_000, () => 9);
    assert.ok(!kinds(seen).includes("dead") && !kinds(seen).includes("silent"));
  }
});

test("while the other end's kernel sends something, a probe may go unanswered for 20 s, and no longer", () => {
  for (const [until, silentAt] of [
    [Number.POSITIVE_INFINITY, 20_000],
    [8_000, 13_000],
  ]) {
    const liveness = new Liveness(0);
    liveness.doubt(true, 0);
    const quiet = (now: number) => (now < until ? now % 900 : now - until);
    const [silent] = drive(liveness, 0, 24_000, () => 0, quiet).filter(([kind]) => kind === "silent");
    assert.ok(silent[1] >= silentAt && silent[1] <= silentAt + 1_000, `silent at ${silent[1]}, not ${silentAt}`);
  }
  const answered = new Liveness(0);
  answered.doubt(true, 0);
  assert.ok(
    !kinds(
      drive(
        answered,
        0,
        60_000,
        (now) => Math.floor(now / 14_000),
        () => 200,
      ),
    ).includes("silent"),
  );
});
