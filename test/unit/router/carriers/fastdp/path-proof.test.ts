import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BEAT_MS,
  PathProof,
  PROBE_MS,
  type ProofEffect,
  WITHOUT_PROOF_MS,
} from "#router/carriers/fastdp/path-proof.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** Both ends of a path on one clock. The leader is the first. */
class TwoEnds {
  readonly ends = [new PathProof(true, 0), new PathProof(false, 0)] as const;
  readonly effects: { end: number; effect: ProofEffect; now: number }[] = [];
  now = 0;
  delayMs = 1;
  passes: (from: number) => boolean = () => true;
  sent = [0, 0];
  readonly #received = [0, 0];
  readonly #flying: { at: number; to: number; beat: { received: number; asks: boolean }; count: number }[] = [];

  states = () => this.ends.map(({ state }) => state);

  run(ms: number): this {
    for (const until = this.now + ms; this.now < until; this.now++) {
      for (const beat of this.#flying.filter(({ at }) => at <= this.now)) {
        this.#flying.splice(this.#flying.indexOf(beat), 1);
        this.#received[beat.to] = Math.max(this.#received[beat.to], beat.count);
        this.#apply(beat.to, this.ends[beat.to].beat(beat.beat, this.now));
      }
      for (const end of [0, 1]) if (this.ends[end].wakeAt <= this.now) this.#apply(end, this.ends[end].tick(this.now));
    }
    return this;
  }

  /** Effects since a time, without heartbeats. */
  since(from: number) {
    return this.effects.filter(({ now, effect }) => now >= from && effect.do !== "beat");
  }

  #apply(end: number, effects: readonly ProofEffect[]): void {
    for (const effect of effects) {
      this.effects.push({ end, effect, now: this.now });
      if (effect.do !== "beat") continue;
      this.sent[end]++;
      const beat = { received: this.#received[end], asks: effect.asks };
      const flight = { at: this.now + this.delayMs, to: 1 - end, count: effect.count, beat };
      if (this.passes(end)) this.#flying.push(flight);
    }
  }
}

test("a path is proven within a few round trips", () => {
  const two = new TwoEnds().run(20);
  assert.deepEqual(two.states(), ["usable", "usable"]);
});

test("a proven path costs two frames in each interval, one in each direction", () => {
  const two = new TwoEnds().run(1_000);
  const before = [...two.sent];
  two.run(100 * BEAT_MS);
  for (const end of [0, 1])
    assert.ok(Math.abs(two.sent[end] - before[end] - 100) <= 2, `${two.sent[end] - before[end]}`);
  assert.deepEqual(two.states(), ["usable", "usable"]);
});

test("a path that never answers has failed after the probe, soon enough for the first frames", () => {
  const two = new TwoEnds();
  two.passes = () => false;
  two.run(PROBE_MS + 10);
  assert.deepEqual(two.states(), ["failed", "failed"]);
  assert.match(JSON.stringify(two.since(0)), /no heartbeat has arrived for 1 s/);
});

test("a cut is noticed by both ends within 2 s, whenever it comes, and in whichever direction", () => {
  for (const cut of [[0], [1], [0, 1]])
    for (let offset = 0; offset < BEAT_MS; offset += 37) {
      const two = new TwoEnds().run(3_000 + offset);
      two.passes = (from) => !cut.includes(from);
      const at = two.now;
      two.run(2_000);
      assert.deepEqual(two.states(), ["failed", "failed"], `cut ${cut} at ${at}`);
      for (const { effect, now } of two.since(at))
        if (effect.do === "failed") assert.ok(now - at <= WITHOUT_PROOF_MS.leader + 50, `${now - at} ms`);
    }
});

test("a long round trip is no loss", () => {
  const two = new TwoEnds();
  two.delayMs = 150;
  two.run(1_000);
  const at = two.now;
  two.run(60_000);
  assert.deepEqual(two.since(at), []);
  assert.deepEqual(two.states(), ["usable", "usable"]);
});

test("a loss of a tenth of all frames does not end the path", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = seededRandom(seed);
    const two = new TwoEnds();
    two.passes = () => random.below(10) > 0;
    two.run(5 * 60_000);
    assert.deepEqual(
      two.effects.filter(({ effect }) => effect.do === "failed"),
      [],
      `seed ${seed}`,
    );
  }
});

test("a failed path returns after three proofs; one that fails again and again waits longer each time", () => {
  const two = new TwoEnds().run(1_000);
  const waits: number[] = [];
  for (let i = 0; i < 6; i++) {
    two.passes = () => false;
    two.run(3_000);
    assert.deepEqual(two.states(), ["failed", "failed"]);
    two.passes = () => true;
    const at = two.now;
    while (!two.states().every((state) => state === "usable")) two.run(50);
    waits.push(two.now - at);
  }
  assert.ok(waits[0] <= 3_000, `${waits}`);
  assert.ok(waits[5] >= 4 * waits[0], `${waits}`);
  // After a calm time it is as at first.
  two.run(6 * 60_000);
  two.passes = () => false;
  two.run(3_000);
  two.passes = () => true;
  const at = two.now;
  while (!two.states().every((state) => state === "usable")) two.run(50);
  assert.ok(two.now - at <= 3_000);
});

test("a process that was stopped does not take the path for lost before it has read what has arrived", () => {
  const two = new TwoEnds().run(3_000);
  const leader = two.ends[0];
  const late = leader.wakeAt + 5_000;
  assert.ok(leader.tick(late).every((effect) => effect.do !== "failed"));
  assert.equal(leader.state, "usable");
});
