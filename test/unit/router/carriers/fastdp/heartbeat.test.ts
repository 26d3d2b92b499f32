import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HEARTBEAT_BYTES, HeartbeatKeys, pathIn } from "#router/carriers/fastdp/heartbeat.js";
import { Heartbeats } from "#router/carriers/fastdp/heartbeats.js";

const SECRET = new Uint8Array(32).fill(7);
const ends = (secret = SECRET) => [new HeartbeatKeys(secret, true), new HeartbeatKeys(secret, false)] as const;

test("each end opens the heartbeats of the other, and says the highest number that it has received", () => {
  const [a, b] = ends();
  assert.equal(a.path, b.path);
  assert.deepEqual(b.open(a.make({ count: 1, asks: false })), { count: 1, received: 0, asks: false });
  assert.deepEqual(b.open(a.make({ count: 5, asks: false })), { count: 5, received: 0, asks: false });
  assert.deepEqual(a.open(b.make({ count: 1, asks: false })), { count: 1, received: 5, asks: false });
});

test("a heartbeat that was seen before, is older, or comes back to its sender is refused", () => {
  const [a, b] = ends();
  const [first, second] = [1, 2].map((count) => a.make({ count, asks: false }));
  assert.deepEqual(b.open(second), { count: 2, received: 0, asks: false });
  assert.equal(b.open(second), "replayed");
  assert.equal(b.open(first), "replayed");
  assert.equal(a.open(a.make({ count: 3, asks: false })), "forged");
});

test("a changed bit anywhere, another secret, and noise are refused, and change nothing", () => {
  fc.assert(
    fc.property(fc.nat(HEARTBEAT_BYTES * 8 - 1), fc.uint8Array({ maxLength: 100 }), (bit, noise) => {
      const [a, b] = ends();
      const beat = a.make({ count: 1, asks: false });
      const changed = Buffer.from(beat);
      changed[bit >> 3] ^= 1 << (bit & 7);
      assert.equal(typeof b.open(changed), "string");
      assert.equal(typeof b.open(noise), "string");
      assert.equal(typeof ends(new Uint8Array(32))[1].open(beat), "string");
      assert.deepEqual(b.open(beat), { count: 1, received: 0, asks: false });
    }),
  );
});

test("heartbeats of another tunnel of this host are neither received nor refused", () => {
  const [a, b] = ends();
  const all = new Set<string>();
  const [one, other] = [new Heartbeats("02:00:00:00:00:01", all), new Heartbeats("02:00:00:00:00:01", all)];
  let received = 0;
  one.add(b, () => void received++);
  const beat = a.make({ count: 1, asks: false });
  for (const each of [other, one]) each.receive(beat);
  assert.deepEqual([received, other.refused.unknown, one.refused.replayed], [1, 0, 0]);
  one.remove(b);
  for (const each of [other, one]) each.receive(beat);
  assert.deepEqual([received, other.refused.unknown], [1, 1]);
});

test("forged heartbeats are counted by reason, and reach no path", () => {
  const [a, b] = ends();
  const heartbeats = new Heartbeats("02:00:00:00:00:01");
  const received: number[] = [];
  heartbeats.add(b, (beat) => void received.push(beat.received));
  heartbeats.receive(a.make({ count: 1, asks: false }));
  heartbeats.receive(a.make({ count: 1, asks: false }));
  const forged = a.make({ count: 2, asks: false });
  forged[20] ^= 1;
  heartbeats.receive(forged);
  heartbeats.receive(Buffer.from("not at all"));
  heartbeats.receive(ends(new Uint8Array(32))[0].make({ count: 1, asks: false }));
  assert.deepEqual(received, [0]);
  assert.deepEqual(heartbeats.refused, { unknown: 1, malformed: 1, forged: 1, replayed: 1 });
  heartbeats.remove(b);
  heartbeats.receive(a.make({ count: 3, asks: false }));
  assert.equal(heartbeats.refused.unknown, 2);
  assert.equal(pathIn(Buffer.alloc(HEARTBEAT_BYTES)), undefined);
});
