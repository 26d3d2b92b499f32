import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BUFFERS, BufferRing } from "#router/datapath/buffer-ring.js";
import { OpenRun } from "#router/datapath/open-run.js";
import { Memory } from "#src/linux/native/memory.js";

const BYTES = 64;

/** Joins all its spans, and stores their contents at delivery. */
class Run extends OpenRun {
  readonly delivered: number[][] = [];
  readonly #into = new Memory(BUFFERS * 16 * BYTES);

  push(memory: Memory): void {
    if (this.began === undefined) this.open();
    this.parts.push(memory, 0, BYTES);
  }

  protected override deliver(): void {
    const length = this.parts.gather(this.#into, 0);
    this.delivered.push(Array.from(this.#into.u8.subarray(0, length)));
  }
}

test("the bytes of open runs are delivered as they arrived, before a later receive overwrites them", () => {
  const buffers = Array.from({ length: BUFFERS }, () => new Memory(BYTES));
  const step = fc.record({ received: fc.boolean(), first: fc.boolean(), second: fc.boolean(), settle: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ring = new BufferRing();
      const runs = [new Run(ring, 1_024), new Run(ring, 1_024)];
      const pushed: number[][] = [[], []];
      let value = 0;
      for (const { received, first, second, settle } of steps) {
        const memory = buffers[ring.begin()];
        if (!received) continue;
        memory.u8.fill(++value, 0, BYTES);
        for (const [i, taken] of [first, second].entries()) {
          if (!taken) continue;
          runs[i].push(memory);
          pushed[i].push(value);
        }
        ring.end();
        if (settle === 0) {
          ring.settle();
          assert.ok(runs.every(({ began }) => began === undefined));
        }
      }
      ring.settle();
      for (const [i, run] of runs.entries()) {
        const expected = pushed[i].flatMap((byte) => new Array(BYTES).fill(byte));
        assert.deepEqual(run.delivered.flat(), expected);
      }
    }),
    { numRuns: 300 },
  );
});

test("a run stays open for as many receives as there are buffers, and an empty receive closes no run", () => {
  const ring = new BufferRing();
  const run = new Run(ring, 16);
  const memory = new Memory(BYTES);
  ring.begin();
  run.push(memory);
  ring.end();
  for (let i = 1; i < BUFFERS; i++) {
    for (let again = 0; again < 3; again++) assert.equal(ring.begin(), i);
    assert.equal(run.began, 0);
    ring.end();
  }
  assert.equal(ring.begin(), 0);
  assert.equal(run.began, undefined);
  assert.equal(run.delivered.length, 1);
});
