import assert from "node:assert/strict";
import { test } from "node:test";
import { type BatchEffect, BatchProbe } from "#router/carriers/sleeve/batch-probe.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const MINUTE = 60_000;
const RTT_MS = 20;

/** Returns the ids of the answered pings, for pings sent as a batch or one by one. */
type Network = (ids: readonly number[], batch: boolean) => readonly number[];

/** Runs a probe for `ms` with large frames all the time, and returns its verdicts. */
function drive(probe: BatchProbe, network: Network, from: number, ms: number): { at: number; pass: boolean }[] {
  const verdicts: { at: number; pass: boolean }[] = [];
  const pongs: { at: number; id: number }[] = [];
  for (let now = from; now < from + ms; now += 10) {
    const follow = (effects: readonly BatchEffect[]) => {
      for (const effect of effects) {
        if (effect.do === "batches") verdicts.push({ at: now - from, pass: effect.pass });
        else for (const id of network(effect.ids, effect.batch)) pongs.push({ at: now + RTT_MS, id });
      }
    };
    while (pongs.length > 0 && pongs[0].at <= now) follow(probe.pong(pongs.shift()!.id, now));
    if (probe.wakeAt !== undefined && probe.wakeAt <= now) follow(probe.tick(now));
    if (now % 1_000 === 0) follow(probe.used(now));
  }
  return verdicts;
}

const allArrive: Network = (ids) => ids;
const batchesAreSwallowed: Network = (ids, batch) => (batch ? [] : ids);

test("where batches pass, a batch is sent twice a minute while large frames flow, and no batch otherwise", () => {
  const probe = new BatchProbe();
  let pings = 0;
  const counted: Network = (ids, batch) => {
    assert.ok(batch);
    pings += ids.length;
    return ids;
  };
  assert.deepEqual(drive(probe, counted, 0, 10 * MINUTE), []);
  assert.ok(pings <= 84 && pings >= 76, `${pings} pings`);
  assert.equal(probe.wakeAt, undefined);
});

test("where only single pings arrive, datagrams are sent singly within seconds, and in batches when batches pass again", () => {
  // A filter, and a card that sends the first datagram of a batch alone.
  for (const network of [batchesAreSwallowed, ((ids, batch) => (batch ? ids.slice(0, 1) : ids)) as Network]) {
    const probe = new BatchProbe();
    const [first, ...others] = drive(probe, network, 0, 20 * MINUTE);
    assert.equal(first.pass, false);
    assert.ok(first.at <= 5_000, `after ${first.at} ms`);
    assert.deepEqual(others, []);
    assert.equal(probe.pass, false);
    const [again, ...more] = drive(probe, allArrive, 20 * MINUTE, 6 * MINUTE);
    assert.equal(again.pass, true);
    assert.deepEqual(more, []);
  }
});

test("a silent or lossy path is not taken for one that swallows batches", () => {
  assert.deepEqual(
    drive(new BatchProbe(), () => [], 0, 10 * MINUTE),
    [],
  );
  const random = seededRandom(1);
  let wrong = 0;
  for (let run = 0; run < 300; run++) {
    const percent = run % 31;
    const lossy: Network = (ids) => ids.filter(() => random.below(100) >= percent);
    wrong += drive(new BatchProbe(), lossy, 0, MINUTE).length;
  }
  assert.ok(wrong <= 3, `${wrong} of 300`);
});

test("single datagrams are sent also on a lossy path that swallows batches", () => {
  const random = seededRandom(2);
  for (let run = 0; run < 50; run++) {
    const network: Network = (ids, batch) => (batch ? [] : ids.filter(() => random.below(100) >= 10));
    const [first] = drive(new BatchProbe(), network, 0, 5 * MINUTE);
    assert.equal(first?.pass, false);
  }
});

test("a path that may have changed is probed at the next large frame, whatever its last result", () => {
  const probe = new BatchProbe();
  drive(probe, batchesAreSwallowed, 0, MINUTE);
  assert.equal(probe.pass, false);
  probe.forget();
  const [verdict] = drive(probe, allArrive, MINUTE, 5_000);
  assert.equal(verdict.pass, true);
  drive(probe, allArrive, 2 * MINUTE, 1_000);
  probe.forget();
  const [worse] = drive(probe, batchesAreSwallowed, 2 * MINUTE + 2_000, 10_000);
  assert.equal(worse.pass, false);
});

test("when full-size datagrams are lost, a loss of batches is known within a second, without frames meanwhile", () => {
  const probe = new BatchProbe();
  drive(probe, allArrive, 0, 10_000);
  let now = 10_000;
  const verdicts: boolean[] = [];
  const follow = (effects: readonly BatchEffect[]) => {
    for (const effect of effects) {
      if (effect.do === "batches") verdicts.push(effect.pass);
      else if (!effect.batch) for (const id of effect.ids) follow(probe.pong(id, now));
    }
  };
  follow(probe.shrunk(now));
  for (; probe.wakeAt !== undefined; now = probe.wakeAt ?? now) follow(probe.tick(now));
  assert.deepEqual(verdicts, [false]);
  assert.ok(now < 11_000, `${now - 10_000} ms`);
  // Without large frames there is nothing to probe.
  const idle = new BatchProbe();
  assert.deepEqual(idle.shrunk(0), []);
});

test("ids of batch pings differ from those of the path, and answers to other rounds are ignored", () => {
  const probe = new BatchProbe();
  const [effect] = probe.used(0);
  assert.ok(effect.do === "ping" && effect.ids.every((id) => BatchProbe.owns(id) && id < 2 ** 32));
  assert.equal(BatchProbe.owns(1), false);
  for (let i = 0; i < 10; i++) assert.deepEqual(probe.pong(effect.ids[0], 1), []);
  assert.deepEqual(probe.pong(effect.ids[3] + 5, 1), []);
  assert.notEqual(probe.wakeAt, undefined);
});
