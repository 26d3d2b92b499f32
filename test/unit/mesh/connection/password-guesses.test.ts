import assert from "node:assert/strict";
import { test } from "node:test";
import { PasswordGuesses } from "#mesh/connection/password-guesses.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const never = () => false;
const always = () => true;

/** Tries as fast as it may, from one source, for a time. @returns the number of handshakes that began, all with a wrong password */
async function attack(
  guesses: PasswordGuesses,
  clock: VirtualClock,
  { source = "10.0.0.1", ms = 0, known = false } = {},
) {
  let begun = 0;
  for (let t = 0; t < ms; t += 50) {
    if (guesses.admit(source, () => known)) {
      begun++;
      guesses.failed(source, known);
    }
    await clock.run(50);
  }
  return begun;
}

test("a source has a few guesses, then one every 30 s", async () => {
  const clock = new VirtualClock();
  const guesses = new PasswordGuesses(clock);
  const first = await attack(guesses, clock, { ms: 60_000 });
  assert.ok(first >= 5 && first <= 11, `${first} in a minute`);
  const hour = await attack(guesses, clock, { ms: 3_600_000 });
  assert.ok(hour >= 110 && hour <= 121, `${hour} in an hour`);
  const [{ source, count, since }] = guesses.list();
  assert.deepEqual([source, count, since, guesses.total], ["10.0.0.1", first + hour, 0, first + hour]);
});

test("a paused source cannot begin several guesses before the first one fails", async () => {
  const clock = new VirtualClock();
  const guesses = new PasswordGuesses(clock);
  for (let i = 0; i < 8; i++) guesses.failed("a", false);
  await clock.run(60_000);
  const begun = Array.from({ length: 50 }, () => guesses.admit("a", never)).filter(Boolean);
  assert.equal(begun.length, 1);
});

test("an address of a known peer waits two seconds at most, and not because of other sources", async () => {
  const clock = new VirtualClock();
  const guesses = new PasswordGuesses(clock);
  for (let i = 0; i < 300; i++) guesses.failed(`10.1.${i >> 8}.${i & 255}`, false);
  assert.ok(guesses.admit("10.0.0.1", always));
  for (let i = 0; i < 50; i++) guesses.failed("10.0.0.1", true);
  assert.ok(!guesses.admit("10.0.0.1", always));
  await clock.run(2_001);
  assert.ok(guesses.admit("10.0.0.1", always));
  guesses.succeeded("10.0.0.1");
  assert.ok(guesses.admit("10.0.0.1", always) && guesses.admit("10.0.0.1", always));
});

test("many sources together are slowed, and a new honest one still gets in", async () => {
  const clock = new VirtualClock();
  const guesses = new PasswordGuesses(clock);
  let begun = 0;
  let honest = 0;
  for (let second = 0; second < 3_600; second++) {
    // Two thousand addresses, each of which has failed before, ten at a time.
    for (let i = 0; i < 10; i++) {
      const source = `10.1.${(second * 10 + i) % 2_000}`;
      if (!guesses.admit(source, never)) continue;
      begun++;
      guesses.failed(source, false);
    }
    if (second > 600 && guesses.admit(`honest ${second}`, never)) honest++;
    await clock.run(1_000);
  }
  assert.ok(begun < 3_600, `${begun} guesses in an hour`);
  assert.ok(honest > 1_000, `${honest} of 3,000 newcomers`);
});

test("memory is bounded, and wrong passwords are forgotten an hour after the last", async () => {
  const clock = new VirtualClock();
  const guesses = new PasswordGuesses(clock);
  for (let i = 0; i < 20_000; i++) guesses.failed(`${i}`, false);
  assert.ok(guesses.list().length <= 4_096);
  assert.equal(guesses.total, 20_000);
  await clock.run(3_600_001);
  assert.deepEqual(guesses.list(), []);
  assert.ok(guesses.admit("19999", never));
});
