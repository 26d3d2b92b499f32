import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Backlog, INTERVAL_MS } from "#router/datapath/backlog.js";
import { FragmentSize } from "#router/datapath/fragment-size.js";
import { AGE_MS, CAPACITY, MacTable, OWN_HOLD_MS } from "#router/datapath/mac-table.js";
import { Reassembly } from "#router/datapath/reassembly.js";
import { innerMtu, MAX_RECORD } from "#router/datapath/record.js";
import { ReplayWindow, WINDOW } from "#router/datapath/replay-window.js";
import { Session } from "#router/datapath/session.js";
import { REJECT_AFTER_MS } from "#router/datapath/session-keys.js";
import { OpensslAesGcm } from "#src/linux/native/aes-gcm.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";

test("memory returns no address of a span that exceeds it", () => {
  const memory = new Memory(4_096);
  assert.equal(memory.at(0, 4_096) + 4_095, memory.at(4_095, 1));
  for (const [offset, length] of [
    [0, 4_097],
    [4_096, 1],
    [-1, 1],
    [1, -1],
    [0.5, 1],
    [Number.NaN, 1],
    [0, Number.POSITIVE_INFINITY],
  ]) {
    assert.throws(() => memory.at(offset, length), { code: "WEAVE_BOUNDS" });
  }
  assert.throws(() => memory.copy(4_000, 0, 97), { code: "WEAVE_BOUNDS" });
  const vector = new IoVector(1);
  assert.throws(() => vector.push(memory, 4_000, 97), { code: "WEAVE_BOUNDS" });
  vector.push(memory, 64, 64);
  assert.throws(() => vector.push(memory, 128, 1), { code: "WEAVE_BOUNDS" });
  memory.free();
  assert.throws(() => memory.at(0, 0), { code: "WEAVE_BOUNDS" });
});

test("a key opens the records that it has sealed, and no changed record", () => {
  const memory = new Memory(8_192);
  const key = new Uint8Array(32).fill(7);
  const salt = Uint8Array.of(1, 2, 3, 4);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 2_000 }), fc.nat(), fc.boolean(), (text, where, inAad) => {
      const [sealer, opener] = [new OpensslAesGcm("seal", key, salt), new OpensslAesGcm("open", key, salt)];
      const length = text.length + 24;
      memory.u8.set(text, 8);
      sealer.aad.fill(5);
      assert.ok(sealer.run(memory, 0, length));
      assert.notDeepEqual(memory.u8.slice(8, 8 + text.length + 16), text);
      const sealed = memory.u8.slice(0, length);
      opener.aad.fill(5);
      assert.ok(opener.run(memory, 0, length));
      assert.deepEqual(memory.u8.slice(8, 8 + text.length), text);
      memory.u8.set(sealed);
      if (inAad) opener.aad[where % opener.aad.length] ^= 1;
      else memory.u8[where % length] ^= 1;
      assert.equal(opener.run(memory, 0, length), false);
      sealer.free();
      opener.free();
    }),
    { numRuns: 200 },
  );
});

test("the replay window accepts each counter once, in any order within it, and nothing older", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(200), fc.nat(3 * WINDOW), fc.integer({ min: 2 ** 40, max: 2 ** 40 + WINDOW })), {
        maxLength: 300,
      }),
      (counters) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        let newest = -1;
        for (const counter of counters) {
          const expected = !seen.has(counter) && newest - counter < WINDOW;
          assert.equal(window.accept(counter), expected);
          if (!expected) continue;
          seen.add(counter);
          newest = Math.max(newest, counter);
        }
      },
    ),
  );
});

test("a record is opened by its own session and epoch alone, and once", () => {
  const memory = new Memory(4_096);
  const make = () => {
    const sender = new UdpSender(-1, false);
    const session = new Session({ local: 5, peer: 1, encrypted: true, lane: 0, openssl: true, sender });
    session.keys.remote = 5;
    for (const direction of ["seal", "open"] as const)
      session.keys.setKey(direction, 0, new Uint8Array(32).fill(1), new Uint8Array(4), 0);
    return session;
  };
  const [a, b] = [make(), make()];
  memory.u8.fill(9, 8, 100);
  assert.equal(a.keys.seal(memory, 0, 116, 2), 0);
  const sealed = memory.u8.slice(0, 116);
  assert.equal(b.keys.open(memory, 0, 116, 1, 2), "epoch-unknown");
  assert.equal(b.keys.open(memory, 0, 116, 0, 3), "authentication-failed");
  memory.u8.set(sealed);
  assert.equal(b.keys.open(memory, 0, 116, 0, 2), "ok");
  memory.u8.set(sealed);
  assert.equal(b.keys.open(memory, 0, 116, 0, 2), "replayed");
  assert.equal(a.keys.canSeal(REJECT_AFTER_MS - 1), true);
  assert.equal(a.keys.canSeal(REJECT_AFTER_MS), false);
  // Three generations can be opened: the one before, for what is still under way, and the next.
  for (const epoch of [1, 2, 3]) b.keys.setKey("open", epoch, new Uint8Array(32).fill(epoch), new Uint8Array(4), 0);
  memory.u8.set(sealed);
  assert.equal(b.keys.open(memory, 0, 116, 0, 2), "epoch-unknown");
});

test("a MAC of our bridge is not learned from the network until it has been silent", () => {
  const table = new MacTable(1);
  assert.equal(table.learn(0xaa, 1, 0), "new");
  assert.equal(table.learn(0xaa, 2, OWN_HOLD_MS - 1), "refused");
  assert.equal(table.lookup(0xaa), 1);
  assert.equal(table.learn(0xaa, 2, OWN_HOLD_MS), "moved");
  assert.equal(table.movedFrom, 1);
  assert.equal(table.learn(0xaa, 3, OWN_HOLD_MS), "moved");
  assert.equal(table.learn(0xaa, 1, OWN_HOLD_MS), "moved");
});

test("a released MAC is learned elsewhere immediately; a MAC of another peer is unchanged", () => {
  const table = new MacTable(1);
  table.learn(0xaa, 1, 0);
  table.learn(0xbb, 2, 0);
  table.release(0xaa);
  table.release(0xbb);
  assert.equal(table.learn(0xaa, 2, 1), "new");
  assert.equal(table.lookup(0xbb), 2);
});

test("MACs age, go with their peer, and are bounded", () => {
  const table = new MacTable(1);
  table.learn(1, 2, 0);
  table.learn(2, 3, AGE_MS - 1);
  table.age(AGE_MS);
  assert.equal(table.lookup(1), undefined);
  assert.equal(table.lookup(2), 3);
  table.forget(3);
  assert.equal(table.size, 0);
  for (let mac = 0; mac < CAPACITY; mac++) table.learn(mac, 2, 0);
  assert.equal(table.learn(CAPACITY, 2, 0), "full");
});

test("records are reassembled from fragments in any order, with duplicates, and mixed with fragments of other records", () => {
  const source = new Memory(4_096);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 400 }),
      fc.integer({ min: 2, max: 20 }),
      fc.integer({ min: 1, max: 400 }),
      fc.integer(),
      (fragment, count, rest, seed) => {
        const last = Math.min(rest, fragment);
        const length = fragment * (count - 1) + last;
        const record = Uint8Array.from({ length }, (_, i) => i * 7 + (i >>> 8));
        const order = Array.from({ length: count }, (_, i) => [i, (Math.imul(i + 1, seed | 1) >>> 0) % 1_000]).sort(
          (x, y) => x[1] - y[1],
        );
        const reassembly = new Reassembly();
        const add = (key: number, sourceId: number, index: number, count: number, bytes: number) =>
          reassembly.add({ key, sourceId, index, count, memory: source, offset: 0, bytes });
        let complete = 0;
        for (const [n, [index]] of order.entries()) {
          const bytes = record.subarray(index * fragment, Math.min(length, (index + 1) * fragment));
          source.u8.set(bytes);
          // A fragment of another record, which stays incomplete, and one of another sender, which never mixes.
          assert.equal(add(2, 7, index, count + 1, 1), false);
          assert.equal(add(1, 8, 0, count, 1), false);
          if (add(1, 7, index, count, bytes.length)) complete++;
          if (n < count - 1) assert.equal(add(1, 7, index, count, bytes.length), false);
        }
        assert.equal(complete, 1);
        assert.equal(reassembly.length, length);
        assert.deepEqual(reassembly.memory.u8.slice(reassembly.at, reassembly.at + length), record);
        reassembly.memory.free();
      },
    ),
    { numRuns: 60 },
  );
});

test("forged fragments use only the fixed memory, and produce no record above the maximum length", () => {
  const source = new Memory(65_536 + 4_096);
  const reassembly = new Reassembly();
  fc.assert(
    fc.property(
      fc.nat(40),
      fc.nat(255),
      fc.nat(255),
      fc.integer({ min: 1, max: 65_000 }),
      (key, index, count, bytes) => {
        if (index >= count) return;
        const fragment = { key, sourceId: 7, index, count, memory: source, offset: 0, bytes };
        if (reassembly.add(fragment)) assert.ok(reassembly.length <= MAX_RECORD);
      },
    ),
    { numRuns: 5_000 },
  );
  assert.ok(reassembly.evicted > 0);
});

test("a receive is laid out for a size observed twice in a row, and alternating sizes do not change the layout", () => {
  const size = new FragmentSize();
  for (let i = 0; i < 10; i++) {
    size.observe(1_460);
    size.observe(1_400);
    assert.equal(size.bytes, 1_460);
  }
  size.observe(1_400);
  assert.equal(size.bytes, 1_400);
  // Neither small datagrams nor sizes that no sender uses.
  for (const bytes of [40, 40, 40, 9_300, 9_300, 1_460]) size.observe(bytes);
  assert.equal(size.bytes, 1_400);
  size.observe(1_460);
  assert.equal(size.bytes, 1_460);
});

test("the MTU of the overlay is the space that a datagram has for an IP packet", () => {
  assert.equal(innerMtu(1_472), 1_394);
});

test("a queue that is sometimes empty drops nothing; a standing queue drops at a growing rate until it is empty", () => {
  const backlog = new Backlog();
  for (let now = 0; now < 10 * INTERVAL_MS; now++) {
    if (now % INTERVAL_MS === 0) backlog.empty(now);
    assert.equal(backlog.shouldDrop(now), false, `at ${now} ms`);
  }
  const drops = (from: number, to: number) => {
    let count = 0;
    for (let now = from * INTERVAL_MS; now < to * INTERVAL_MS; now++) if (backlog.shouldDrop(now)) count++;
    return count;
  };
  backlog.empty(10 * INTERVAL_MS);
  assert.equal(drops(10, 11), 0);
  const first = drops(11, 16);
  const later = drops(16, 21);
  assert.ok(first > 4 && later > first, `${first}, then ${later}`);
  // It stands again soon: the rate is as it was. Much later it begins from the start.
  backlog.empty(21 * INTERVAL_MS);
  const again = drops(22, 27);
  assert.ok(again > first, `${again} after ${first}`);
  backlog.empty(100 * INTERVAL_MS);
  assert.equal(drops(101, 106), first);
});

test("senders that halve at a drop keep the queue short and the line full, however many there are", () => {
  for (const flows of [1, 4, 64]) {
    // A line of 50 frames a millisecond, and 1 ms of way; each sender adds one frame in each round trip.
    const backlog = new Backlog();
    const windows = new Float64Array(flows).fill(2_000 / flows);
    let [queue, sent, waited] = [0, 0, 0];
    let turn = 0;
    for (let now = 0; now < 20_000; now++) {
      const inFlight = windows.reduce((sum, each) => sum + each, 0);
      queue = Math.max(0, inFlight - 50);
      const served = Math.min(50, inFlight);
      if (queue === 0) backlog.empty(now);
      const roundTrip = 1 + queue / 50;
      for (let i = 0; i < flows; i++) windows[i] += 1 / roundTrip;
      if (backlog.shouldDrop(now)) {
        const i = turn++ % flows;
        windows[i] = Math.max(1, windows[i] * 0.7);
      }
      if (now < 5_000) continue;
      sent += served;
      waited += queue / 50;
    }
    assert.ok(sent / 15_000 > 0.9 * 50, `${flows} flows: ${sent / 15_000} frames a millisecond`);
    assert.ok(waited / 15_000 < INTERVAL_MS / 2, `${flows} flows: ${waited / 15_000} ms in the queue`);
  }
});
