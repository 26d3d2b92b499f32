/**
 * What an attacker sends comes out nowhere, and breaks nothing. `npm run fuzz` has six million of these cases.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AT_BODY,
  AT_DEST,
  AT_HOPS,
  AT_KIND,
  AT_PADDING,
  AT_SOURCE,
  DATAGRAM_HEADER,
  DATAGRAM_TYPE,
  KIND_SEGMENTS,
  MAX_HOPS,
  RECORD_OVERHEAD,
  writeMac,
} from "#router/datapath/record.js";
import { DESCRIPTOR_BYTES, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, writeDescriptor } from "#router/datapath/super-frame.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { TAG_BYTES } from "#src/linux/native/record-cipher.js";
import type { Random } from "#src/random.js";
import { caught, guard, pair, RUNS, randomFrame, SEED, sender } from "#test/fuzz/ends.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** One change of what was caught: what an attacker on the way can do without a key. */
function spoil(bytes: Uint8Array, random: Random): void {
  switch (random.below(5)) {
    case 0:
      // The headers: index, count, lane and epoch, session, counter.
      bytes[1 + random.below(11)] = random.below(256);
      break;
    case 1:
      bytes.set(random.bytes(Math.min(bytes.length, 1 + random.below(40))));
      break;
    case 2:
      bytes.fill(0, random.below(bytes.length));
      break;
    case 3:
      bytes.set([DATAGRAM_TYPE, random.below(6), random.below(6), random.below(256), 2, 0, 0, 0]);
      break;
    default:
      bytes[random.below(bytes.length)] ^= 1 + random.below(255);
  }
}

for (const joining of [true, false])
  test(`${RUNS} hostile datagrams (random, cut, changed, repeated, mixed, of wrong sizes), ${joining ? "joined" : "one by one"}, deliver nothing and break nothing`, {
    timeout: 1_800_000,
  }, async () => {
    const random = seededRandom(SEED);
    const [a, b] = await pair(1_472, joining);
    const corpus = await caught(a, 1_472, random);
    const send = sender(b.port);
    // What is authentic is delivered first: a copy that happens to be unchanged is then a replay.
    for (const datagram of corpus) {
      send(datagram, datagram.length);
      b.pump();
    }
    const { counters } = b.tally;
    const delivered = counters.framesDelivered;
    assert.ok(delivered > 100, `only ${delivered} frames were delivered`);
    b.events.length = 0;
    const before = counters.datagramsReceived;
    const calls = guard.calls;
    while (counters.datagramsReceived - before < RUNS) {
      // A run of what followed one another, some of it spoilt, perhaps cut up differently than it was.
      const first = random.below(corpus.length);
      const run = corpus.slice(first, first + 1 + random.below(44));
      const size = run[0].length;
      const bytes = new Uint8Array(Math.min(run.length * size, 65_507));
      for (const [i, datagram] of run.entries()) {
        const copy = Uint8Array.from(datagram.subarray(0, Math.min(size, bytes.length - i * size)));
        if (copy.length === 0) break;
        if (random.below(3) > 0) spoil(copy, random);
        bytes.set(copy, i * size);
      }
      const wrongSize = random.below(4) === 0;
      const end = random.below(4) === 0 ? 1 + random.below(bytes.length) : bytes.length;
      send(bytes.subarray(0, end), wrongSize ? 1 + random.below(2_000) : size);
      b.pump();
    }
    assert.equal(guard.violation, undefined);
    assert.ok(guard.calls - calls > RUNS / 50, `only ${guard.calls - calls} native calls were watched`);
    assert.equal(counters.framesDelivered, delivered, "something forged was delivered");
    assert.deepEqual(b.events, []);
    const refused = Object.values(b.tally.drops).reduce((sum, count) => sum + count, 0);
    assert.ok(refused > RUNS / 8, `only ${refused} drops were counted`);
    // The way is still open for what is real.
    const memory = new Memory(4_096);
    const frame = randomFrame(random, 1, 500);
    memory.u8.set(frame);
    b.taken();
    a.switch.captured(memory, 0, frame.length);
    a.transmitter.flush();
    b.pump();
    assert.ok(b.taken().equals(Buffer.from(frame)));
  });

test(`${RUNS} records of a peer that has the keys and means harm break nothing`, { timeout: 1_800_000 }, async () => {
  const random = seededRandom(SEED + 1);
  // Nothing is checked of what is written: to no file, then, which would grow.
  const [a, b] = await pair(1_472, true, "/dev/null");
  b.switch.routes = {
    unicast: new Map([
      [1, 2],
      [77, 2],
    ]),
    flood: new Map([
      [1, [2]],
      [5, [2]],
    ]),
  };
  const send = sender(b.port);
  const session = a.switch.sessions.get(1)!;
  const record = new Memory(70_000);
  const calls = guard.calls;
  for (let run = 0; run < RUNS; ) {
    const length = RECORD_OVERHEAD + random.below(random.below(20) === 0 ? 9_000 : 1_300);
    const batch: Uint8Array[] = [];
    let total = 0;
    const fragments = Math.ceil(length / 1_460);
    while (
      batch.length < 200 &&
      total + length + fragments * DATAGRAM_HEADER <= 60_000 &&
      (batch.length + 1) * fragments <= 64
    ) {
      hostileRecord(record, length, random);
      const counter = session.keys.seal(record, 0, length, fragments);
      const fragment = Math.ceil(length / fragments);
      const bytes = new Uint8Array(length + fragments * DATAGRAM_HEADER);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < fragments; i++) {
        const at = i * (fragment + DATAGRAM_HEADER);
        bytes.set([DATAGRAM_TYPE, i, fragments, session.keys.laneEpoch], at);
        view.setUint32(at + 4, session.keys.remote, true);
        view.setUint32(at + 8, counter, true);
        bytes.set(record.u8.subarray(i * fragment, Math.min(length, (i + 1) * fragment)), at + DATAGRAM_HEADER);
      }
      batch.push(bytes);
      total += bytes.length;
      if (fragments > 1 && length % fragments !== 0) break;
    }
    const fragment = Math.ceil(length / fragments);
    send(Uint8Array.from(Buffer.concat(batch)), fragment + DATAGRAM_HEADER);
    b.pump();
    run += batch.length;
  }
  assert.equal(guard.violation, undefined);
  assert.ok(guard.calls - calls > RUNS / 4);
  assert.ok(b.tally.counters.recordsReceived > RUNS * 0.9, `${b.tally.counters.recordsReceived} records were opened`);
  assert.ok(b.tally.drops["record-malformed"] + b.tally.drops["frame-malformed"] > RUNS / 10);
});

/** Fills a record's header and body: each part is sometimes what a sender of ours would write. */
function hostileRecord(record: Memory, length: number, random: Random): void {
  const { u8, view } = record;
  const body = AT_BODY;
  const end = length - TAG_BYTES;
  u8.fill(random.below(256), AT_KIND, end);
  const often = (chance: number) => random.below(100) < chance;
  u8[AT_KIND] = often(90) ? random.below(3) : random.below(256);
  u8[AT_HOPS] = often(50) ? MAX_HOPS : random.below(256);
  writeMac(view, AT_SOURCE, often(80) ? 1 : random.below(100));
  writeMac(view, AT_DEST, often(60) ? 2 : often(50) ? 0 : random.below(100));
  view.setUint16(AT_PADDING, often(80) ? 0 : random.below(0x10000), true);
  if (end - body < 100) return;
  if (u8[AT_KIND] === KIND_SEGMENTS) {
    writeDescriptor(view, body, {
      flags: random.below(256),
      gsoType: often(80) ? [GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4][random.below(3)] : random.below(256),
      headers: often(80) ? [42, 54, 66, 74][random.below(4)] : random.below(0x10000),
      gsoSize: often(50) ? 100 : random.below(0x10000),
      csumStart: often(80) ? [34, 38, 54][random.below(3)] : random.below(0x10000),
      id: random.below(3),
      offset: often(60) ? random.below(20) * 100 : random.below(2 ** 32),
    });
    const frame = body + DESCRIPTOR_BYTES;
    u8.set([2, 0, 0, 0, 0, random.below(4), 2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0], frame);
    if (often(20)) u8.set([0x86, 0xdd], frame + 12);
    if (often(20)) u8.set([0x81, 0x00, 0, 1, 8, 0], frame + 12);
    u8[frame + 23] = often(50) ? 6 : 17;
    u8[frame + 46] = random.below(16) << 4;
  } else {
    for (let at = body; at + 40 < end; ) {
      const size = often(90) ? 24 + random.below(60) : random.below(0x10000);
      view.setUint16(at, size, true);
      u8.set([random.below(2), often(70) ? 0 : random.below(256), ...random.bytes(8)], at + 2);
      u8.set([2, 0, 0, 0, 0, 1, often(90) ? 2 : 3, 0, 0, 0, 0, random.below(50)], at + 12);
      at += 2 + ((size + 1) & ~1);
    }
  }
}

test("the guard would have seen a native call that leaves the memory", () => {
  const memory = new Memory(64);
  const outside = memory.at(0, memory.size) + memory.size;
  assert.throws(() => libc.read(0, outside - 8, 9), /outside all mapped memory/);
  assert.throws(() => libc.memmove(memory.at(0, 8), 16, 8), /outside all mapped memory/);
  const parts = new IoVector(1);
  parts.push(memory, 0, 64);
  memory.free();
  assert.throws(() => libc.writev(1, parts.address(), 1), /outside all mapped memory/);
  guard.violation = undefined;
});
