import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Channel, type ChannelEffect, MAX_MESSAGE_BYTES } from "#mesh/connection/channel.js";
import { KEYS_LIMIT_MS, ROTATE_AFTER_MS } from "#mesh/connection/channel-keys.js";
import { openChannels, SECRET } from "../handshake/ends.js";

const bytesOf = (effects: readonly ChannelEffect[]) =>
  effects.flatMap((effect) => (effect.do === "send" ? [effect.bytes] : []));
const failures = (effects: readonly ChannelEffect[]) =>
  effects.flatMap((effect) => (effect.do === "failed" ? [effect.error.message] : []));

test("messages of every size pass in both directions", () => {
  for (const secret of [undefined, SECRET]) {
    const [a, b] = openChannels(secret);
    for (const [from, to] of [
      [a, b],
      [b, a],
    ]) {
      for (const size of [0, 1, 63_999, 64_000, 64_001, 300_000]) {
        const message = Uint8Array.from({ length: size }, (_, i) => i);
        const received = bytesOf(from.send(message)).flatMap((bytes) => to.receive(bytes, 0));
        assert.deepEqual(
          received.map((e) => e.do),
          ["message"],
        );
        assert.equal(Buffer.compare((received[0] as { bytes: Uint8Array }).bytes, message), 0);
      }
    }
    assert.throws(() => a.send(new Uint8Array(MAX_MESSAGE_BYTES + 1)), { code: "WEAVE_MESSAGE_TOO_LARGE" });
  }
});

test("replayed, reordered, lost and reflected messages end the session, with an error", () => {
  for (const disturb of ["replay", "reorder", "lose", "reflect"]) {
    const [a, b] = openChannels();
    const sent = [1, 2, 3].map((n) => bytesOf(a.send(Uint8Array.of(n)))[0]);
    const order = { replay: [0, 0], reorder: [1, 0], lose: [0, 2], reflect: [0] }[disturb]!;
    const to = disturb === "reflect" ? a : b;
    const effects = order.flatMap((i) => to.receive(sent[i], 0));
    assert.deepEqual(failures(effects), ["Unable to decrypt TCP msg"]);
    assert.equal(to.state, "closed");
    assert.deepEqual(to.receive(sent[2], 0), []);
  }
});

test("a message with the type of another one ends the session", () => {
  for (const type of [0, 1, 2, 3, 7, 0x11, 0x12, 0x13, 0xff]) {
    const [a, b] = openChannels();
    const [bytes] = bytesOf(a.send(Uint8Array.of(1)));
    bytes[0] = type;
    assert.equal(failures(b.receive(bytes, 0)).length, 1, `${type}`);
  }
});

test("a message that never ends is rejected at the limit, and one with an empty part at once", () => {
  const [a, b] = openChannels();
  let failed = false;
  // Each part announces that more follows.
  for (let i = 0; i < 200 && !failed; i++) {
    const [first] = bytesOf(a.send(new Uint8Array(64_001)));
    failed = failures(b.receive(first, 0)).length > 0;
    if (i === 0) assert.equal(first[0], 0x11);
  }
  assert.ok(failed);
});

/** Two channels with the messages on their way, and a clock. */
class Pair {
  readonly ends: readonly Channel[] = openChannels(SECRET);
  /** Messages to each end. */
  readonly queues: Uint8Array[][] = [[], []];
  readonly received: number[][] = [[], []];
  readonly sent: number[][] = [[], []];
  readonly failed: string[] = [];
  now = 0;

  apply(end: number, effects: readonly ChannelEffect[]): void {
    this.queues[1 - end].push(...bytesOf(effects));
    for (const effect of effects) if (effect.do === "message") this.received[end].push(effect.bytes[0]);
    this.failed.push(...failures(effects));
  }

  send(end: number, value: number): void {
    this.sent[end].push(value);
    this.apply(end, this.ends[end].send(Uint8Array.of(value)));
  }

  deliver(end: number): void {
    const bytes = this.queues[end].shift();
    if (bytes !== undefined) this.apply(end, this.ends[end].receive(bytes, this.now));
  }

  tick(ms: number): void {
    this.now += ms;
    for (const end of [0, 1]) this.apply(end, this.ends[end].tick(this.now));
  }

  settle(): void {
    while (this.queues.some(({ length }) => length > 0)) for (const end of [0, 1]) this.deliver(end);
  }
}

test("keys change at the time, whatever is on its way in both directions, and no message is lost, repeated or reordered", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("send" as const), end: fc.nat(1) }),
    fc.record({ do: fc.constant("deliver" as const), end: fc.nat(1) }),
    fc.record({ do: fc.constant("tick" as const), end: fc.constantFrom(1_000, 60_000) }),
  );
  let changes = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 150 }), (steps) => {
      const pair = new Pair();
      let value = 0;
      let late = 0;
      for (const { do: what, end } of steps) {
        if (what === "send") pair.send(end, value++ & 255);
        else if (what === "deliver") pair.deliver(end);
        else {
          // A line that delivers nothing for minutes has no connection.
          late += end;
          if (late > 100_000) {
            pair.settle();
            late = 0;
          }
          pair.tick(end);
        }
      }
      pair.settle();
      assert.deepEqual(pair.failed, []);
      assert.deepEqual(pair.received, [pair.sent[1], pair.sent[0]]);
      assert.equal(pair.ends[0].epoch, pair.ends[1].epoch);
      changes += pair.ends[0].epoch;
    }),
    { numRuns: 150 },
  );
  assert.ok(changes > 100, `${changes} changes`);
});

test("after a change neither end opens what the old keys have sealed, nor a step of the change again", () => {
  for (const index of [0, 1, 2]) {
    const pair = new Pair();
    const steps: [number, Uint8Array][] = [];
    pair.tick(ROTATE_AFTER_MS);
    for (let i = 0; i < 3; i++) {
      const to = pair.queues[0].length > 0 ? 0 : 1;
      steps.push([to, Uint8Array.from(pair.queues[to][0])]);
      pair.deliver(to);
    }
    assert.deepEqual(
      pair.ends.map(({ epoch }) => epoch),
      [1, 1],
    );
    const [to, bytes] = steps[index];
    assert.deepEqual(failures(pair.ends[to].receive(bytes, pair.now)), ["Unable to decrypt TCP msg"]);
  }
});

test("an end that never changes its keys is left after the limit, at both ends", () => {
  for (const silent of [0, 1]) {
    const pair = new Pair();
    const other = 1 - silent;
    const tick = (ms: number) => {
      pair.now += ms;
      pair.apply(other, pair.ends[other].tick(pair.now));
    };
    tick(ROTATE_AFTER_MS);
    // What the other end sent arrives, and messages flow; only the change does not happen.
    pair.queues[silent].length = 0;
    tick(KEYS_LIMIT_MS - ROTATE_AFTER_MS - 1);
    assert.deepEqual(pair.failed, []);
    tick(1);
    assert.match(pair.failed[0], /^the keys of the connection are too old/);
    assert.equal(pair.ends[other].state, "closed");
  }
});

test("steps of a change that the state does not expect end the session", () => {
  const pair = new Pair();
  pair.tick(ROTATE_AFTER_MS);
  const [offer] = pair.queues[1];
  // The dialler gets its own offer back.
  assert.equal(failures(pair.ends[0].receive(offer, pair.now)).length, 1);
  const [a, b] = openChannels();
  const [message] = bytesOf(a.tick(ROTATE_AFTER_MS));
  assert.equal(b.receive(message, ROTATE_AFTER_MS).length, 1);
  // A dialler that offers twice.
  const twice = new Pair();
  twice.tick(ROTATE_AFTER_MS);
  twice.deliver(1);
  const again = bytesOf(twice.ends[0].tick(ROTATE_AFTER_MS * 2));
  assert.deepEqual(again, []);
});
